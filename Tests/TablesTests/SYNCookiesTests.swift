import Tables
import Testing

@Suite struct SYNCookiesTests {
  /// The example of the SipHash paper's appendix A, and two more of its authors' vectors.
  @Test func sipHashIsWhatItsAuthorsPublished() {
    let hash = SipHash(key: (0x0706_0504_0302_0100, 0x0F0E_0D0C_0B0A_0908))
    let none: InlineArray<0, UInt64> = []
    #expect(hash.hash(none) == 0x726F_DB47_DD0E_0E31)
    let one: InlineArray<1, UInt64> = [0x0706_0504_0302_0100]
    #expect(hash.hash(one) == 0x93F5_F579_9A93_2462)
  }

  private let cookies = SYNCookies(secret: (1, 2))
  private let connection: SYNCookies.Connection = [0x0A00_0001_C000_0201, 0x0400_0050, 4, 0, 0]
  private let options = SYNCookies.Options(segmentSize: 1460, windowScale: 7, selective: true)

  /// What a SYN asked for is told by the acknowledgement of its cookie.
  @Test func rfc4987_3_6_cookiesRememberWhatWasAskedFor() {
    for (asked, told) in [(100, 216), (536, 536), (1459, 1440), (1460, 1460), (9000, 8940)] as [(UInt16, UInt16)] {
      for (scale, scaled) in [(nil, nil), (0, 0), (1, 0), (7, 7), (9, 8), (14, 10)] as [(UInt8?, UInt8?)] {
        for selective in [false, true] {
          let options = SYNCookies.Options(segmentSize: asked, windowScale: scale, selective: selective)
          let cookie = cookies.make(connection, sequence: 77, options, now: 5)
          #expect(
            cookies.check(cookie, connection, sequence: 77, now: 6)
              == SYNCookies.Options(segmentSize: told, windowScale: scaled, selective: selective))
        }
      }
    }
  }

  /// A cookie is of one connection and one SYN.
  @Test func rfc4987_3_6_cookiesAreOfOneConnection() {
    let cookie = cookies.make(connection, sequence: 77, options, now: 5)
    #expect(cookies.check(cookie, connection, sequence: 78, now: 5) == nil)
    var other = connection
    other[1] += 1
    #expect(cookies.check(cookie, other, sequence: 77, now: 5) == nil)
    #expect(SYNCookies(secret: (1, 3)).check(cookie, connection, sequence: 77, now: 5) == nil)
  }

  /// A cookie is good for one to two periods.
  @Test func rfc4987_3_6_cookiesExpire() {
    let period = SYNCookies.period
    for start in [0, period - 1, 17 * period + 3] {
      let cookie = cookies.make(connection, sequence: 1, options, now: start)
      #expect(cookies.check(cookie, connection, sequence: 1, now: start + period) == options)
      #expect(cookies.check(cookie, connection, sequence: 1, now: start + 2 * period) == nil)
      #expect(cookies.check(cookie, connection, sequence: 1, now: start + 4 * period) == nil)
    }
  }

  /// Of numbers made up at random nearly none are cookies.
  @Test func rfc4987_3_6_guessingTakesLong() {
    var hits = 0
    for guess in 0..<200_000 as Range<UInt32>
    where
      cookies.check(guess &* 2_654_435_761, connection, sequence: 1, now: 5) != nil
    { hits += 1 }
    #expect(hits < 5)
  }
}
