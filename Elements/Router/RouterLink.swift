import Dataplane
import Tables
import Wire

/// One interface's neighbours; a part of `Router`, as `Neighbours` is without one.
struct RouterLink: RouterPart, ~Copyable {
  typealias Input = Neighbours.Input
  typealias Output = Neighbours.Output
  typealias Drop = Neighbours.Drop

  private var link: NeighbourLink<RoutedNextHop>

  private static var outputs: NeighbourOutputs<Output> {
    NeighbourOutputs(frames: .frames, received: .received, unreachable: .unreachable)
  }

  init(_ state: RouterState, interface: Int, link settings: LinkSettings, limits: NeighbourLimits) {
    link = NeighbourLink(
      interface: UInt32(interface), mac: settings.mac, isRouter: settings.isRouter,
      isPromiscuous: settings.isPromiscuous,
      choice: RoutedNextHop(state: state, interface: interface), table: state.neighbours,
      addresses: state.addresses[interface], pending: limits.held, depth: limits.pending)
  }

  var held: Int { link.pending.count }
  var counters: [ElementCounter] { link.counters }

  mutating func start(_ context: inout Context) { link.start(&context) }

  mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    switch batch.input {
    case .ip: link.send(&batch, &context, Self.outputs)
    case .received: link.receive(&batch, &context, Self.outputs)
    }
  }

  mutating func wake(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    link.wake(&batch, &context, Self.outputs)
  }
}
