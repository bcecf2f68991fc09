import Configuration
import Dataplane
import Wire

/// Settings that translators between the versions of IP have in common.
struct TranslationSettings {
  let prefix: IPv4EmbeddingPrefix
  let translator: IPTranslator
  /// The longest packet that the next link takes, in bytes, on the IPv4 and the IPv6 side.
  let mtu4, mtu6: Int
  /// The longest IPv6 packet that an IPv4 packet without DF becomes without being cut, in bytes.
  let lowestMTU6: Int
  let lowersTTL: Bool

  init(_ settings: inout Settings) throws(ConfigurationError) {
    let prefix = try settings.take(
      "prefix", default: IPv4EmbeddingPrefix.wellKnown.prefix,
      "IPv6 prefix whose addresses stand for IPv4 addresses (RFC 6052)")
    if let embedding = IPv4EmbeddingPrefix(prefix) {
      self.prefix = embedding
    } else {
      let isLength = IPv4EmbeddingPrefix.lengths.contains(Int(prefix.length))
      settings.reject(
        settings.range(of: "prefix"),
        isLength ? "bits 64 to 71 of \(prefix) are not zero" : "\(prefix) has a length that RFC 6052 does not know",
        remedy: isLength
          ? "choose a prefix in which they are, such as 64:ff9b:1::/96"
          : "give a prefix of 32, 40, 48, 56, 64 or 96 bits")
      self.prefix = .wellKnown
    }
    if prefix.address.isMulticast || prefix.address.isLinkLocal {
      settings.reject(
        settings.range(of: "prefix"), "\(prefix) is \(prefix.address.isMulticast ? "multicast" : "link-local")",
        remedy: "give a unicast prefix, such as 64:ff9b::/96")
    }
    mtu4 = try settings.take("mtu_ipv4", default: 1500, in: 68...65_535, "longest packet on the IPv4 side, in bytes")
    mtu6 = try settings.take("mtu_ipv6", default: 1500, in: 1280...65_535, "longest packet on the IPv6 side, in bytes")
    lowestMTU6 = try settings.take(
      "lowest_ipv6_mtu", default: 1280, in: 1280...65_535,
      "the least MTU on the IPv6 side, in bytes; IPv4 packets that may be fragmented are cut to it")
    if lowestMTU6 > mtu6 {
      settings.reject(
        settings.range(of: "lowest_ipv6_mtu"), "\(lowestMTU6) is more than 'mtu_ipv6'",
        remedy: "give at most \(mtu6)")
    }
    let copies = try settings.take(
      "copy_traffic_class", default: true, "whether the traffic class is taken over; 0 otherwise")
    lowersTTL = try settings.take("lower_ttl", default: true, "whether the translator counts as a hop")
    translator = IPTranslator(icmp: ICMPTranslation(mtu4: mtu4, mtu6: mtu6), copiesTrafficClass: copies)
  }

  /// Whether an address must not stand in this prefix: the well-known prefix is for global addresses (RFC 6052, 3.1).
  func forbids(_ address: IPv4Address) -> Bool { prefix.isWellKnown && !address.isGlobal }
}
