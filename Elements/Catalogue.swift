public import Dataplane

/// Every element of the library, in the order of the reference.
public let catalogue: [ElementKind] = [
  ElementKind(Classify.self),
  ElementKind(Firewall.self),

  ElementKind(CheckIP.self),
  ElementKind(DecTTL.self),
  ElementKind(FragmentIP.self),
  ElementKind(ICMPEcho.self),
  ElementKind(ICMPError.self),
  ElementKind(LookupRoute.self),
  ElementKind(NAT.self),
  ElementKind(ReassembleIP.self),
  ElementKind(composite: Router.self),

  ElementKind(ARPResponder.self),
  ElementKind(EtherRewrite.self),
  ElementKind(MACSwap.self),
  ElementKind(Neighbours.self),
  ElementKind(composite: Switch.self),
  ElementKind(VLANTag.self),
  ElementKind(VLANUntag.self),

  ElementKind(LoadBalancer.self),

  ElementKind(Discard.self),
  ElementKind(HashSplit.self),
  ElementKind(Mark.self),
  ElementKind(RoundRobin.self),
  ElementKind(Tee.self),

  ElementKind(NAT64.self),
  ElementKind(NPTv6.self),
  ElementKind(SIIT.self),

  ElementKind(CoDel.self),
  ElementKind(FQCoDel.self),
  ElementKind(Meter.self),
  ElementKind(Police.self),
  ElementKind(Queue.self),
  ElementKind(RateLimit.self),
  ElementKind(Sample.self),

  ElementKind(GREDecap.self),
  ElementKind(GREEncap.self),
  ElementKind(IPIPDecap.self),
  ElementKind(IPIPEncap.self),

  ElementKind(Capture.self),
  ElementKind(Counter.self),
  ElementKind(Print.self),
]
