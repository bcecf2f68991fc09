import Dataplane
import Elements
import TestKit
import Testing

@Suite struct EtherRewriteTests {
  @Test(arguments: [
    ("{ source: 02:00:00:00:00:0a, destination: 01:00:5e:00:00:01 }", "02:00:00:00:00:0a", "01:00:5e:00:00:01"),
    ("source: 02:00:00:00:00:0a", "02:00:00:00:00:0a", "02:00:00:00:00:02"),
    ("destination: 02:00:00:00:00:0b", "02:00:00:00:00:01", "02:00:00:00:00:0b"),
  ])
  func setsWhatIsGiven(settings: String, source: String, destination: String) throws {
    let rewrite = try ElementUnderTest(EtherRewrite.self, settings: settings)
    let result = rewrite.push([.ethernet().vlan(3).ipv4().udp(), .ethernet().arp().split(at: 5)])
    let expected = Frame.ethernet(from: source, to: destination)
    #expect(result["output"].are([expected.vlan(3).ipv4().udp(), expected.arp()]))
  }

  @Test func dropsWhatHasNoEthernetHeader() throws {
    let rewrite = try ElementUnderTest(EtherRewrite.self, settings: "source: 02:00:00:00:00:0a")
    #expect(rewrite.push([Frame([1]), Frame(Array(repeating: 0, count: 13))]).drops == ["malformed": 2])
  }

  @Test(arguments: [
    ("{}", "1:1 neither 'source' nor 'destination' is given"),
    ("source: 01:00:00:00:00:01", "1:9 01:00:00:00:00:01 is a group and cannot send"),
  ])
  func refuses(settings: String, message: String) throws {
    #expect(try Verdicts("EtherRewrite", settings).messages == [message])
  }
}
