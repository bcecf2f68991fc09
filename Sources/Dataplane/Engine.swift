import CDPDK

/// Runs a plan's nodes. Lives on the worker's stack: what it changes has one owner and is never checked for another.
@unsafe
struct Engine: ~Copyable {
  let plan: Plan
  let nodes: UnsafeMutablePointer<Plan.Node>
  let nodeCount: Int
  let vectors: UnsafeMutablePointer<UnsafeMutablePointer<PacketVector>>
  /// A bit for each node that may have packets, lowest first: most nodes of a large graph have none most of the time.
  let pending: UnsafeMutablePointer<UInt64>
  let pendingWords: Int
  let queues: UnsafeMutablePointer<(any PortQueue)?>
  let burst: UnsafeMutablePointer<Burst>
  /// What the node at hand is run on: an input's vector, or `spare`.
  var current: UnsafeMutablePointer<PacketVector>
  /// For nodes that may put packets into the vector they are run on.
  let spare: UnsafeMutablePointer<PacketVector>
  var freed: PacketVector
  /// The order of arrival of the packets at hand, for those that an element exchanges.
  let sequences: UnsafeMutablePointer<UInt32>
  var context: Context
  var batchSize: Int
  /// Packets on their way to other workers, by worker.
  let outgoing: UnsafeMutablePointer<PacketVector>
  /// Whether there are some.
  var hasOutgoing = false
  /// Whether packets carry their order of arrival and nodes see them in it.
  let isOrdered: Bool
  var sequence: UInt32 = 0
  var nextWake = Instant.never
  private var passes = 0

  /// Every this many passes the nodes are timed.
  static let timingInterval = 16
  /// How often a packet may go round a loop of the graph before it is dropped.
  static let roundLimit = 64

  init(_ plan: Plan, ordered: Bool) {
    unsafe self.plan = plan
    unsafe nodes = plan.nodes
    unsafe nodeCount = plan.nodeCount
    unsafe vectors = plan.vectors
    unsafe pendingWords = plan.nodeCount / 64 + 1
    unsafe pending = .allocate(capacity: plan.nodeCount / 64 + 1)
    unsafe pending.initialize(repeating: 0, count: plan.nodeCount / 64 + 1)
    unsafe queues = .allocate(capacity: plan.nodeCount)
    for index in 0..<plan.nodeCount {
      switch plan.roles[index] {
      case .receive(let queue), .transmit(let queue): unsafe (queues + index).initialize(to: queue)
      default: unsafe (queues + index).initialize(to: nil)
      }
    }
    unsafe spare = .allocate(capacity: 1)
    unsafe spare.initialize(to: PacketVector(capacity: 512))
    unsafe current = spare
    unsafe burst = .allocate(capacity: 1)
    unsafe burst.initialize(to: Burst(limit: 256, slots: spare.pointee.slots))
    unsafe freed = PacketVector(capacity: 512)
    unsafe sequences = .allocate(capacity: 256)
    unsafe outgoing = .allocate(capacity: plan.workers)
    for worker in 0..<plan.workers { unsafe (outgoing + worker).initialize(to: PacketVector(capacity: 512)) }
    unsafe context = Context(worker: plan.worker, of: plan.workers, seed: plan.seed, pool: plan.pool.pool)
    unsafe isOrdered = ordered
    unsafe batchSize = ordered && plan.hasCycle ? 1 : plan.batchSize
  }

  deinit {
    unsafe queues.deinitialize(count: nodeCount)
    unsafe queues.deallocate()
    unsafe pending.deallocate()
    unsafe burst.pointee.codes.deallocate()
    unsafe burst.pointee.emissions.deallocate()
    unsafe burst.deallocate()
    unsafe spare.pointee.deallocate()
    unsafe spare.deallocate()
    unsafe freed.deallocate()
    unsafe sequences.deallocate()
    for worker in unsafe 0..<context.workers { unsafe outgoing[worker].deallocate() }
    unsafe outgoing.deallocate()
  }

  // MARK: Packets in

  /// Receives a batch at a node. Returns how many packets came.
  mutating func receive(_ index: Int) -> Int {
    let node = unsafe nodes + index
    // What comes in is run next, and timed, too.
    let timed = unsafe (passes &+ 1) % Self.timingInterval == 0
    let before = timed ? nfv_tsc() : 0
    let vector = unsafe node.pointee.outputs[0]
    unsafe vector.pointee.reserve(batchSize)
    let slots = unsafe vector.pointee.slots + vector.pointee.count
    var bytes: UInt64 = 0
    let count = unsafe queues[index].unsafelyUnwrapped.receive(
      slots, limit: batchSize, now: context.now, bytes: &bytes)
    guard count > 0 else { return 0 }
    if unsafe isOrdered {
      for offset in 0..<count {
        unsafe slots[offset].unsafelyUnwrapped.pointee.sequence = sequence
        unsafe sequence &+= 1
      }
    }
    unsafe vector.pointee.noteAppended(count, bytes: bytes)
    unsafe note(pending: node.pointee.targets[0])
    let counters = unsafe node.pointee.counters
    unsafe counters.add(CounterWords.packetsIn, UInt64(count))
    unsafe counters.add(CounterWords.bytesIn, bytes)
    unsafe counters.add(CounterWords.runs, 1)
    unsafe counters.add(CounterWords.outputs, UInt64(count))
    if timed {
      unsafe counters.add(CounterWords.ticks, nfv_tsc() &- before)
      unsafe counters.add(CounterWords.timedPackets, UInt64(count))
    }
    return count
  }

  /// Receives, from queues whose packets carry a time, all that are due, and runs them. Returns how many there were.
  mutating func receiveDue(from receiving: [Int]) -> Int {
    var total = 0
    for index in receiving {
      let queue = unsafe queues[index].unsafelyUnwrapped
      while let next = queue.nextArrival, unsafe next <= context.now {
        let count = unsafe receive(index)
        if count == 0 { break }
        total += count
        unsafe settle()
      }
    }
    return total
  }

  /// Has queues give up a packet that is due: nobody holds a buffer that would still come back. Returns whether one did.
  mutating func skipDue(from receiving: [Int]) -> Bool {
    var skipped = false
    for index in receiving {
      let queue = unsafe queues[index].unsafelyUnwrapped
      if let next = queue.nextArrival, unsafe next <= context.now, queue.skip() { skipped = true }
    }
    return skipped
  }

  // MARK: Other workers

  /// Takes what other workers handed over and puts it where it goes. Returns how many packets there were.
  mutating func receiveHandedOver() -> Int {
    guard let handover = unsafe plan.handover else { return 0 }
    var total = 0
    for sender in unsafe 0..<context.workers where unsafe sender != context.worker {
      let count = unsafe handover.take(spare.pointee.slots, limit: batchSize, from: sender, to: context.worker)
      for index in 0..<count {
        let slot = unsafe spare.pointee.slots[index]
        guard let mbuf = unsafe slot else { continue }
        guard let (node, input) = unsafe plan.destination(mbuf.pointee.sequence) else {
          unsafe freed.append(slot)
          continue
        }
        if unsafe isOrdered {
          unsafe mbuf.pointee.sequence = sequence
          unsafe sequence &+= 1
        }
        unsafe vectors[nodes[node].firstInput + input].pointee.append(slot)
        unsafe note(pending: node)
      }
      total += count
    }
    return total
  }

  /// Hands over what is on its way to other workers.
  mutating func sendHandedOver() {
    guard unsafe hasOutgoing, let handover = unsafe plan.handover else { return }
    unsafe hasOutgoing = false
    for receiver in unsafe 0..<context.workers where unsafe outgoing[receiver].count > 0 {
      let count = unsafe outgoing[receiver].count
      let slots = unsafe outgoing[receiver].slots
      let taken = unsafe handover.put(slots, count, from: context.worker, to: receiver)
      for index in taken..<count {
        guard let mbuf = unsafe slots[index], let (node, _) = unsafe plan.destination(mbuf.pointee.sequence) else {
          continue
        }
        let counters = unsafe nodes[node].counters
        unsafe counters.set(CounterWords.handedOver, counters.words[CounterWords.handedOver] &- 1)
        unsafe counters.add(CounterWords.drops + Int(DropReason.workerBusy.code), 1)
      }
      unsafe freed.append(slots + taken, count - taken)
      unsafe outgoing[receiver].clear()
    }
    unsafe freed.free()
  }

  /// Puts a packet on its way to the same node of another worker.
  private mutating func handOver(_ node: UnsafeMutablePointer<Plan.Node>, _ slot: PacketSlot, to worker: Int) {
    let place = unsafe node - nodes
    guard unsafe worker < context.workers, unsafe worker != context.worker, unsafe place < plan.numberOfNode.count,
      let mbuf = unsafe slot
    else {
      unsafe freed.append(slot)
      unsafe node.pointee.counters.add(CounterWords.drops + Int(DropReason.workerBusy.code), 1)
      return
    }
    unsafe mbuf.pointee.sequence =
      UInt32(truncatingIfNeeded: plan.numberOfNode[place] << 8) | UInt32(burst.pointee.input)
    unsafe outgoing[worker].append(slot)
    unsafe hasOutgoing = true
    unsafe node.pointee.counters.add(CounterWords.handedOver, 1)
  }

  // MARK: Nodes

  /// Runs the nodes in order until nothing is pending.
  mutating func settle() {
    var rounds = 0
    unsafe passes &+= 1
    let timed = unsafe passes % Self.timingInterval == 0
    while unsafe pass(timed: timed) {
      rounds += 1
      if unsafe rounds == Self.roundLimit {
        unsafe dropPending(.looped)
        return
      }
    }
  }

  @inline(__always)
  private func note(pending node: Int) { unsafe pending[node >> 6] |= 1 &<< UInt64(node & 63) }

  /// Runs every node that has packets once, in order. Returns whether a node before it had packets put into it meanwhile:
  /// the graph has a loop.
  private mutating func pass(timed: Bool) -> Bool {
    var before = timed ? nfv_tsc() : 0
    for word in unsafe 0..<pendingWords {
      var passed: UInt64 = 0
      while true {
        let ready = unsafe pending[word] & ~passed
        guard ready != 0 else { break }
        let bit = ready.trailingZeroBitCount
        passed = (2 &<< UInt64(bit)) &- 1
        unsafe pending[word] &= ~(1 &<< UInt64(bit))
        unsafe run((word << 6) + bit, timed: timed, &before)
      }
    }
    for word in unsafe 0..<pendingWords where unsafe pending[word] != 0 { return true }
    return false
  }

  /// Runs a node on what waits at its inputs.
  @inline(__always)
  private mutating func run(_ index: Int, timed: Bool, _ before: inout UInt64) {
    let node = unsafe nodes + index
    var ran = 0
    if unsafe isOrdered && node.pointee.inputCount > 1 { ran = unsafe runInOrder(node) }
    for input in unsafe 0..<(ran > 0 ? 0 : node.pointee.inputCount) {
      let vector = unsafe vectors[node.pointee.firstInput + input]
      guard unsafe vector.pointee.count > 0 else { continue }
      unsafe ran += vector.pointee.count
      if unsafe node.pointee.feedsItself {
        unsafe swap(&spare.pointee, &vector.pointee)
        unsafe current = spare
      } else {
        unsafe current = vector
      }
      if unsafe isOrdered { unsafe current.pointee.restoreOrder() }
      switch unsafe node.pointee.step {
      case .element: unsafe run(node, input: input)
      case .transmit: unsafe transmit(index)
      case .discard: unsafe discard(node)
      case .receive: break
      }
      unsafe current.pointee.clear()
    }
    guard ran > 0 else { return }
    unsafe freed.free()
    if timed {
      let after = nfv_tsc()
      unsafe node.pointee.counters.add(CounterWords.ticks, after &- before)
      unsafe node.pointee.counters.add(CounterWords.timedPackets, UInt64(ran))
      before = after
    }
  }

  /// Runs an element on what waits at its inputs together in order of arrival; what comes from the same packet in order
  /// of the inputs. Returns how many packets there were.
  private mutating func runInOrder(_ node: UnsafeMutablePointer<Plan.Node>) -> Int {
    let inputs = unsafe 0..<node.pointee.inputCount
    let waiting = unsafe vectors + node.pointee.firstInput
    // What the element sends back to itself is behind these and has to wait.
    let ends = inputs.map { unsafe waiting[$0].pointee.count }
    guard let busiest = ends.max(), busiest > 0 else { return 0 }
    for input in inputs { unsafe waiting[input].pointee.restoreOrder() }
    unsafe current = spare
    var heads = [Int](repeating: 0, count: ends.count)
    var chosen: Int?
    while true {
      var next: Int?
      for input in inputs where heads[input] < ends[input] {
        guard let other = next else {
          next = input
          continue
        }
        let isEarlier = unsafe PacketVector.precedes(
          waiting[input].pointee.slots[heads[input]], waiting[other].pointee.slots[heads[other]])
        if isEarlier { next = input }
      }
      if next != chosen, let chosen {
        unsafe run(node, input: chosen)
        unsafe current.pointee.clear()
      }
      guard let input = next else { break }
      chosen = input
      unsafe current.pointee.append(waiting[input].pointee.slots[heads[input]])
      heads[input] += 1
    }
    for input in inputs { unsafe waiting[input].pointee.removeFirst(heads[input]) }
    return ends.reduce(0, +)
  }

  private mutating func run(_ node: UnsafeMutablePointer<Plan.Node>, input: Int) {
    let counters = unsafe node.pointee.counters
    let total = unsafe current.pointee.count
    unsafe counters.add(CounterWords.packetsIn, UInt64(total))
    unsafe counters.add(CounterWords.bytesIn, current.pointee.measure())
    let lengthChanges = nfv_length_changes()
    unsafe burst.pointee.input = UInt8(truncatingIfNeeded: input)
    var head = 0
    while head < total {
      let count = unsafe min(total - head, batchSize)
      unsafe burst.pointee.slots = current.pointee.slots + head
      unsafe burst.pointee.count = count
      unsafe burst.pointee.codes.update(repeating: VerdictCode.drop | UInt16(DropReason.malformed.code), count: count)
      if unsafe isOrdered { unsafe saveSequences() }
      unsafe node.pointee.element.unsafelyUnwrapped.pointee._process(_ElementBurst(burst), &context)
      if unsafe burst.pointee.isExchanged || nfv_length_changes() != lengthChanges {
        if unsafe burst.pointee.isExchanged && isOrdered { unsafe restoreSequences() }
        unsafe burst.pointee.isExchanged = false
        unsafe current.pointee.forgetLengths()
      }
      unsafe distribute(node)
      unsafe counters.add(CounterWords.runs, 1)
      head += count
    }
    unsafe noteRequests(node)
  }

  private func saveSequences() {
    for index in unsafe 0..<burst.pointee.count {
      if let mbuf = unsafe burst.pointee.slots[index] { unsafe sequences[index] = mbuf.pointee.sequence }
    }
  }

  /// What an element puts in a packet's place takes its place in the order of arrival, too.
  private func restoreSequences() {
    for index in unsafe 0..<burst.pointee.count {
      if let mbuf = unsafe burst.pointee.slots[index] { unsafe mbuf.pointee.sequence = sequences[index] }
    }
  }

  private mutating func noteRequests(_ node: UnsafeMutablePointer<Plan.Node>) {
    if unsafe context.created > 0 {
      unsafe node.pointee.counters.add(CounterWords.created, UInt64(context.created))
      unsafe context.created = 0
    }
    if unsafe context.requestedWake != .never {
      unsafe node.pointee.wake = min(node.pointee.wake, context.requestedWake)
      unsafe nextWake = min(nextWake, context.requestedWake)
      unsafe context.requestedWake = .never
    }
  }

  /// Carries out the verdicts. When all are the same, which is usual, packets move as one block.
  private mutating func distribute(_ node: UnsafeMutablePointer<Plan.Node>) {
    let count = unsafe burst.pointee.count
    let codes = unsafe burst.pointee.codes
    let slots = unsafe burst.pointee.slots
    if unsafe burst.pointee.emissionCount > 0 {
      unsafe distributeWithEmissions(node)
      return
    }
    guard count > 0 else { return }
    let first = unsafe codes[0]
    if unsafe first < node.pointee.outputCount && nfv_all_equal(codes, UInt32(count)) {
      unsafe passBlock(to: node.pointee.outputs[Int(first)])
      unsafe note(pending: node.pointee.targets[Int(first)])
      unsafe node.pointee.counters.add(CounterWords.outputs + Int(first), UInt64(count))
      return
    }
    if let target = unsafe node.pointee.soleTarget,
      unsafe nfv_all_below(codes, UInt32(count), UInt16(node.pointee.outputCount))
    {
      unsafe passBlock(to: target)
      unsafe note(pending: node.pointee.targets[0])
      unsafe nfv_count_outputs(
        codes, UInt32(count), node.pointee.counters.words + CounterWords.outputs, UInt32(node.pointee.outputCount))
      return
    }
    unsafe noteTargets(of: node)
    for index in 0..<count { unsafe deliver(node, slots[index], codes[index]) }
  }

  private func noteTargets(of node: UnsafeMutablePointer<Plan.Node>) {
    for output in unsafe 0..<node.pointee.outputCount { unsafe note(pending: node.pointee.targets[output]) }
  }

  /// Moves the burst to an input: when it is all there is, by exchanging the places that packets wait in.
  private mutating func passBlock(to target: UnsafeMutablePointer<PacketVector>) {
    let count = unsafe burst.pointee.count
    if unsafe count == current.pointee.count {
      if unsafe target.pointee.count == 0 {
        unsafe swap(&current.pointee, &target.pointee)
      } else {
        unsafe target.pointee.append(burst.pointee.slots, count, bytes: current.pointee.bytesIfMeasured)
      }
    } else {
      unsafe target.pointee.append(burst.pointee.slots, count)
    }
  }

  @inline(__always)
  private mutating func deliver(_ node: UnsafeMutablePointer<Plan.Node>, _ slot: PacketSlot, _ code: UInt16) {
    let counters = unsafe node.pointee.counters
    if unsafe Int(code) < node.pointee.outputCount {
      unsafe node.pointee.outputs[Int(code)].pointee.append(slot)
      unsafe counters.add(CounterWords.outputs + Int(code), 1)
    } else if code & VerdictCode.drop != 0 {
      unsafe freed.append(slot)
      unsafe counters.add(CounterWords.drops + Int(code & 0xFF), 1)
    } else if code & ~0xFF == VerdictCode.handOver {
      unsafe handOver(node, slot, to: Int(code & 0xFF))
    } else if code != VerdictCode.taken {
      unsafe freed.append(slot)
      unsafe counters.add(CounterWords.drops + Int(DropReason.malformed.code), 1)
    }
  }

  private mutating func distributeWithEmissions(_ node: UnsafeMutablePointer<Plan.Node>) {
    let count = unsafe burst.pointee.count
    let emissions = unsafe burst.pointee.emissionCount
    unsafe noteTargets(of: node)
    var next = 0
    for index in 0...count {
      while unsafe next < emissions && burst.pointee.emissions[next].position <= index {
        let emission = unsafe burst.pointee.emissions[next]
        if unsafe isOrdered && count == 0, let mbuf = unsafe emission.slot {
          unsafe mbuf.pointee.sequence = sequence
          unsafe sequence &+= 1
        }
        unsafe deliver(node, emission.slot, emission.output)
        next += 1
      }
      if index < count { unsafe deliver(node, burst.pointee.slots[index], burst.pointee.codes[index]) }
    }
    unsafe burst.pointee.emissionCount = 0
  }

  private mutating func transmit(_ index: Int) {
    let node = unsafe nodes + index
    let counters = unsafe node.pointee.counters
    let total = unsafe current.pointee.count
    var bytes = unsafe current.pointee.measure()
    var sent = 0
    let queue = unsafe queues[index].unsafelyUnwrapped
    while sent < total {
      let taken = unsafe queue.transmit(
        current.pointee.slots + sent, count: min(total - sent, batchSize), now: context.now)
      if taken == 0 { break }
      sent += taken
    }
    if sent < total { bytes &-= unsafe nfv_total_length(current.pointee.slots + sent, UInt32(total - sent)) }
    unsafe counters.add(CounterWords.packetsIn, UInt64(total))
    unsafe counters.add(CounterWords.bytesIn, bytes)
    unsafe counters.add(CounterWords.runs, 1)
    let lost = queue.takeLost()
    if lost > 0 { unsafe counters.add(CounterWords.drops + Int(DropReason.portBusy.code), UInt64(lost)) }
    if sent < total {
      unsafe freed.append(current.pointee.slots + sent, total - sent)
      unsafe counters.add(CounterWords.drops + Int(DropReason.portBusy.code), UInt64(total - sent))
    }
  }

  private mutating func discard(_ node: UnsafeMutablePointer<Plan.Node>) {
    let total = unsafe current.pointee.count
    unsafe node.pointee.counters.add(CounterWords.packetsIn, UInt64(total))
    unsafe node.pointee.counters.add(CounterWords.drops + Int(DropReason.discarded.code), UInt64(total))
    unsafe freed.append(current.pointee.slots, total)
  }

  private mutating func dropPending(_ reason: DropReason) {
    unsafe pending.update(repeating: 0, count: pendingWords)
    for index in unsafe 0..<nodeCount {
      let node = unsafe nodes + index
      for input in unsafe 0..<node.pointee.inputCount {
        let vector = unsafe vectors[node.pointee.firstInput + input]
        let count = unsafe vector.pointee.count
        guard count > 0 else { continue }
        unsafe node.pointee.counters.add(CounterWords.packetsIn, UInt64(count))
        unsafe node.pointee.counters.add(CounterWords.drops + Int(reason.code), UInt64(count))
        unsafe vector.pointee.free()
      }
    }
  }

  // MARK: Operations

  /// Carries out what was left in the plan's mailbox, and answers who asks for counters. Returns whether there was either.
  mutating func serve() -> Bool {
    let isAsked = unsafe plan.board.isAsked
    if isAsked {
      unsafe plan.mailbox.clearSignal()
      unsafe leaveCounters(isLast: false)
    }
    guard let job = unsafe plan.mailbox.take() else { return isAsked }
    unsafe job.finish(perform(job.request, at: job.node))
    return true
  }

  /// Leaves for other threads what elements count and hold.
  mutating func leaveCounters(isLast: Bool) {
    _ = unsafe countHeld()
    unsafe plan.board.leave((0..<nodeCount).map { plan.elementCounters(of: $0) }, isLast: isLast)
  }

  /// Asks the element at a node.
  mutating func perform(_ request: OperationRequest, at index: Int) -> OperationAnswer {
    var answer = OperationAnswer()
    let node = unsafe nodes + index
    guard unsafe node.pointee.step == .element else {
      answer.fail("'\(unsafe plan.names[index])' is no element")
      return answer
    }
    unsafe node.pointee.element.unsafelyUnwrapped.pointee.perform(request, &answer, &context)
    unsafe noteRequests(node)
    return answer
  }

  // MARK: Time

  /// Calls `start` on every element.
  mutating func start() {
    for index in unsafe 0..<nodeCount where unsafe nodes[index].step == .element {
      unsafe nodes[index].element.unsafelyUnwrapped.pointee.start(&context)
      unsafe noteRequests(nodes + index)
    }
  }

  /// Wakes the elements whose time has come, in order of their time, and runs what they emit.
  mutating func fireWakes() {
    while unsafe nextWake <= context.now {
      var due = -1
      var earliest = Instant.never
      for index in unsafe 0..<nodeCount where unsafe nodes[index].wake < earliest {
        unsafe earliest = nodes[index].wake
        due = index
      }
      guard due >= 0, unsafe earliest <= context.now else {
        unsafe nextWake = earliest
        return
      }
      unsafe wake(due)
      unsafe settle()
    }
  }

  /// Moves virtual time forward, waking elements each at its time.
  mutating func advance(to instant: Instant) {
    while unsafe nextWake <= instant {
      unsafe context.now = max(context.now, nextWake)
      unsafe fireWakes()
    }
    // Captures may go back in time; the clock does not.
    unsafe context.now = max(context.now, instant)
  }

  private mutating func wake(_ index: Int) {
    let node = unsafe nodes + index
    unsafe node.pointee.wake = .never
    unsafe burst.pointee.count = 0
    unsafe node.pointee.element.unsafelyUnwrapped.pointee._wake(_ElementBurst(burst), &context)
    unsafe distribute(node)
    unsafe freed.free()
    unsafe noteRequests(node)
    unsafe nextWake = .never
    for other in unsafe 0..<nodeCount { unsafe nextWake = min(nextWake, nodes[other].wake) }
  }

  /// Brings the counters of held packets up to date; returns their sum.
  mutating func countHeld() -> Int {
    var sum = 0
    for index in unsafe 0..<nodeCount where unsafe nodes[index].step == .element {
      let held = unsafe nodes[index].element.unsafelyUnwrapped.pointee.held
      unsafe nodes[index].counters.set(CounterWords.held, UInt64(held))
      sum += held
    }
    return sum
  }

  /// Calls `finish` on every element; returns what went wrong.
  mutating func finish() -> [String] {
    var problems: [String] = []
    for index in unsafe 0..<nodeCount where unsafe nodes[index].step == .element {
      let name = unsafe plan.names[index]
      problems += unsafe nodes[index].element.unsafelyUnwrapped.pointee.finish().map { "\(name): \($0)" }
    }
    return problems
  }
}
