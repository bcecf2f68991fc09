import Testing
import Wire

@Suite struct DataSizeTests {
  @Test(
    arguments: [
      ("1500", 1500), ("0", 0), ("1500B", 1500), ("64KiB", 65536), ("1MB", 1_000_000), ("1 MiB", 1 << 20),
      ("1.5kB", 1500),
      ("2GiB", 2 << 30), ("0.5KiB", 512), ("3TB", 3_000_000_000_000), ("18446744073709551615", .max),
    ] as [(String, UInt64)])
  func reads(text: String, bytes: UInt64) {
    #expect(DataSize(text)?.bytes == bytes)
  }

  @Test(arguments: [
    "", "B", "1.5", "1.5B", ".5kB", "1.kB", "1..5kB", "-1", "1Kib", "1kb", "1 000", "18446744073709551616",
    "20000000TiB",
    "1e3", "1PB", "0x10", "99999999999999999999999999999",
  ])
  func refuses(text: String) {
    #expect(DataSize(text) == nil)
  }

  @Test(
    arguments: [
      (1500, "1500B"), (65536, "64KiB"), (1_000_000, "1MB"), (0, "0B"), (1 << 40, "1TiB"), (9216, "9KiB"), (.max, nil),
    ] as [(UInt64, String?)])
  func printsExactly(bytes: UInt64, text: String?) {
    let printed = DataSize(bytes: bytes).description
    if let text { #expect(printed == text) }
    #expect(DataSize(printed)?.bytes == bytes)
  }
}

@Suite struct RateTests {
  @Test(
    arguments: [
      ("10Gbps", 10_000_000_000), ("100Mbit", 100_000_000), ("64kbit/s", 64000), ("12MB/s", 96_000_000),
      ("1MBps", 8_000_000),
      ("2.5gbps", 2_500_000_000), ("9600bps", 9600), ("1 Tb/s", 1_000_000_000_000), ("0.5Bps", 4),
    ] as [(String, UInt64)])
  func readsDataRates(text: String, rate: UInt64) {
    #expect(DataRate(text)?.bitsPerSecond == rate)
  }

  @Test(arguments: ["", "100", "100M", "bps", "-1bps", "0.5bps", "1Mpps", "1KiBps", "99999999999Tbps", "1 M bps"])
  func refusesDataRates(text: String) {
    #expect(DataRate(text) == nil)
  }

  @Test func readsPacketRates() {
    #expect(PacketRate("1Mpps")?.packetsPerSecond == 1_000_000 && PacketRate("500kpps")?.packetsPerSecond == 500_000)
    #expect(PacketRate("1.25Mpps")?.packetsPerSecond == 1_250_000 && PacketRate("20 pps")?.packetsPerSecond == 20)
    for text in ["", "1", "1M", "1Mbps", "0.5pps"] { #expect(PacketRate(text) == nil, "\(text)") }
  }

  @Test func printsWhatTheyRead() {
    for text in ["10Gbps", "100Mbps", "64kbps", "1500bps", "0bps"] { #expect(DataRate(text)?.description == text) }
    for text in ["1Mpps", "1500pps", "3kpps", "0pps"] { #expect(PacketRate(text)?.description == text) }
  }
}

@Suite struct DurationTests {
  @Test(
    arguments: [
      ("250ms", .milliseconds(250)), ("300s", .seconds(300)), ("2h", .seconds(7200)), ("1us", .microseconds(1)),
      ("1µs", .microseconds(1)), ("1.5s", .milliseconds(1500)), ("1h30m", .seconds(5400)), ("5min", .seconds(300)),
      ("1d", .seconds(86400)), ("0", .zero), ("0s", .zero), ("7ns", .nanoseconds(7)),
      ("1m30s500ms", .milliseconds(90500)),
    ] as [(String, Duration)])
  func reads(text: String, duration: Duration) {
    #expect(Duration(parsing: text) == duration)
  }

  @Test(arguments: [
    "", "5", "s", "-5s", "30m1h", "1s1s", "1.5ns", "1x", "1 h 30 m", "1h30", "1e3s", "400000d", "9999999999999999999s",
    "106751d106751d", "1h-5m", "٣s",
  ])
  func refuses(text: String) {
    #expect(Duration(parsing: text) == nil)
  }

  @Test(
    arguments: [
      (.seconds(300), "5m"), (.milliseconds(250), "250ms"), (.seconds(5400), "1h30m"), (.zero, "0s"),
      (.nanoseconds(1_000_001), "1ms1ns"), (.seconds(90061), "1d1h1m1s"), (.seconds(-5), "-5s"),
    ] as [(Duration, String)])
  func prints(duration: Duration, text: String) {
    #expect(duration.compactText == text)
    if duration >= .zero { #expect(Duration(parsing: text) == duration) }
  }
}
