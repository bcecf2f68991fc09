import Assembly
import Configuration
import Dataplane
import Glibc

/// The thread beside the packet path of a live run: it runs the elements' tasks and answers at the control socket.
@safe
final class ControlThread: @unchecked Sendable {
  private let pipeline: Pipeline
  private let opened: OpenedPipeline
  private let reload: (@Sendable (Pipeline) throws(ConfigurationError) -> Pipeline)?
  private let started = nowNanoseconds()
  private let clock = LiveClock()
  private let over = StopFlag()
  private let tasks: [any ControlTask]
  private var wakes: [Instant]
  private let socket: ControlSocket?
  /// What is under way for each connection, in the order of the socket's.
  private var asking: [Asking?] = []
  private var problems: [String] = []
  private var thread: Thread?

  /// Nil when there is nothing to do.
  init?(
    _ pipeline: Pipeline, _ opened: OpenedPipeline, socket path: String?,
    reload: (@Sendable (Pipeline) throws(ConfigurationError) -> Pipeline)?
  ) throws(EnvironmentError) {
    var tasks: [any ControlTask] = []
    for task in pipeline.elements.flatMap(\.tasks) + pipeline.composites.flatMap(\.tasks)
    where !tasks.contains(where: { $0 === task }) {
      tasks.append(task)
    }
    if tasks.isEmpty && path == nil { return nil }
    self.pipeline = pipeline
    self.opened = opened
    self.reload = reload
    self.tasks = tasks
    wakes = tasks.map { _ in Instant(nanoseconds: 0) }
    socket = if let path { try ControlSocket(path: path) } else { nil }
    thread = try Thread { [unowned self] in run() }
  }

  /// Ends the thread, which has answered what was under way. Returns what tasks report as gone wrong.
  func end() -> [String] {
    over.raise()
    thread?.join()
    return problems
  }

  private func run() {
    for task in tasks { task.begin(opened.readers) }
    while true {
      let isOver = over.isRaised
      let now = clock.now
      for (index, task) in tasks.enumerated() where wakes[index] <= now { wakes[index] = task.run(now) }
      let isBusy = serve(isOver: isOver)
      if isOver { break }
      wait(isBusy: isBusy)
    }
    for task in tasks { problems += task.end() }
  }

  // MARK: Waiting

  /// Milliseconds that it waits at most, so that the end of the run is noticed; fewer while workers are asked.
  private static let longestWait: UInt64 = 50

  private func wait(isBusy: Bool) {
    var polled: [pollfd] = []
    var owners: [Int?] = []
    for (index, task) in tasks.enumerated() {
      for descriptor in task.descriptors {
        polled.append(
          pollfd(fd: descriptor.number, events: Int16(descriptor.readiness == .read ? POLLIN : POLLOUT), revents: 0))
        owners.append(index)
      }
    }
    if let socket {
      // Who cannot be taken yet must not keep the thread awake.
      if socket.hasRoom { polled.append(pollfd(fd: socket.listener, events: Int16(POLLIN), revents: 0)) }
      for connection in socket.connections {
        let events = (connection.hasEnded ? 0 : POLLIN) | (connection.output.isEmpty ? 0 : POLLOUT)
        polled.append(pollfd(fd: connection.descriptor, events: Int16(events), revents: 0))
      }
    }
    let due = wakes.min() ?? .never
    let milliseconds = min(isBusy ? 1 : Self.longestWait, (due.nanoseconds(since: clock.now) + 999_999) / 1_000_000)
    guard unsafe poll(&polled, nfds_t(polled.count), Int32(milliseconds)) > 0 else { return }
    for (entry, owner) in zip(polled, owners) where entry.revents != 0 {
      if let owner { wakes[owner] = Instant(nanoseconds: 0) }
    }
  }

  // MARK: The socket

  /// Answers what was asked. Returns whether workers are being asked.
  private func serve(isOver: Bool) -> Bool {
    guard let socket else { return false }
    socket.exchange()
    while asking.count < socket.connections.count { asking.append(nil) }
    var isBusy = false
    for index in socket.connections.indices.reversed() {
      advance(index, socket, isOver: isOver)
      if asking[index] != nil { isBusy = true }
      let connection = socket.connections[index]
      let isDone = connection.hasEnded && asking[index] == nil && connection.output.isEmpty && connection.input.isEmpty
      if isDone || (connection.isBroken && asking[index]?.busyWorker == nil) {
        socket.drop(at: index)
        asking.remove(at: index)
      }
    }
    return isBusy
  }

  /// Bytes that may wait for a slow reader before more is asked.
  private static let outputLimit = 1 << 20

  private func advance(_ index: Int, _ socket: ControlSocket, isOver: Bool) {
    if asking[index] == nil { begin(index, socket) }
    while var current = asking[index], socket.connections[index].output.count < Self.outputLimit {
      let busy = Set(asking.enumerated().compactMap { $0.offset == index ? nil : $0.element?.busyWorker })
      let step = current.step({ busy.contains($0) ? nil : opened.workers[$0].plan.mailbox }, isOver: isOver)
      asking[index] = current
      switch step {
      case .waiting: return
      case .rows(let rows): write(rows.map { ControlRequest.row($0) }.joined(), index, socket)
      case .done: finish(ControlRequest.end, index, socket)
      case .failed(let message): finish(ControlRequest.failure(message), index, socket)
      }
    }
  }

  private func write(_ text: String, _ index: Int, _ socket: ControlSocket) {
    if !socket.connections[index].isBroken { socket.connections[index].output += Array(text.utf8) }
  }

  private func finish(_ text: String, _ index: Int, _ socket: ControlSocket) {
    asking[index] = nil
    write(text, index, socket)
    socket.exchange()
  }

  /// Takes the next request from what came in.
  private func begin(_ index: Int, _ socket: ControlSocket) {
    let input = socket.connections[index].input
    guard let end = input.firstIndex(of: UInt8(ascii: "\n")) else {
      if socket.connections[index].hasEnded && !input.isEmpty {
        socket.connections[index].input = []
        finish(ControlRequest.failure("a request ends with a line feed"), index, socket)
      }
      return
    }
    guard let request = ControlRequest(line: Array(input[..<end])) else {
      socket.connections[index].input = []
      let form = #"{"element": "name", "operation": "name", "arguments": {}}"#
      return finish(ControlRequest.failure("this is no request; write \(form)"), index, socket)
    }
    guard let element = request.element else {
      socket.connections[index].input.removeFirst(end + 1)
      return finish(answer(request), index, socket)
    }
    guard let target = target(element, request.operation) else {
      socket.connections[index].input = []
      return finish(ControlRequest.failure(reason(element, request.operation)), index, socket)
    }
    if let unknown = request.arguments.keys.sorted().first(where: { key in
      !target.operation.parameters.contains { $0.name == key }
    }) {
      socket.connections[index].input = []
      let known = target.operation.parameters.map(\.name)
      let hint = known.isEmpty ? "it takes none" : "it takes \(known.joined(separator: ", "))"
      return finish(
        ControlRequest.failure("'\(request.operation)' has no parameter '\(unknown)'; \(hint)"), index, socket)
    }
    var rows: [[String: String]] = []
    var taken = end + 1
    if target.operation.takesRows {
      // Rows go on until the other side has sent all of it.
      guard socket.connections[index].hasEnded else { return }
      taken = input.count
      for (number, line) in input[(end + 1)...].split(separator: UInt8(ascii: "\n")).enumerated() {
        guard let row = ControlRequest.row(line: Array(line)) else {
          socket.connections[index].input = []
          return finish(ControlRequest.failure("row \(number + 1) is no JSON object of plain values"), index, socket)
        }
        rows.append(row)
      }
    }
    socket.connections[index].input.removeFirst(taken)
    asking[index] = Asking(request, target.addressees, rows: rows)
  }

  // MARK: Who is asked

  private func target(
    _ name: String, _ operation: String
  ) -> (operation: OperationDescription, addressees: [Asking.Addressee])? {
    for task in tasks(of: name) {
      if let found = task.operations.first(where: { $0.name == operation }) { return (found, [.task(task)]) }
    }
    guard let element = pipeline.elements.firstIndex(where: { $0.name == name }),
      let found = pipeline.elements[element].kind.operations.first(where: { $0.name == operation })
    else { return nil }
    var addressees: [Asking.Addressee] = []
    for (number, worker) in opened.workers.enumerated() {
      for (position, node) in worker.graphNodes.enumerated() {
        if case .element(element) = pipeline.graph.nodes[node].role {
          addressees.append(.worker(number, node: position))
        }
      }
    }
    return (found, addressees)
  }

  private func tasks(of name: String) -> [any ControlTask] {
    pipeline.elements.filter { $0.name == name }.flatMap(\.tasks)
      + pipeline.composites.filter { $0.name == name }.flatMap(\.tasks)
  }

  private func operations(of name: String) -> [OperationDescription] {
    let reload = OperationDescription("reload", "Reads the file again and takes over what can be replaced.")
    return (pipeline.canReplaceSettings(of: name) ? [reload] : []) + tasks(of: name).flatMap(\.operations)
      + (pipeline.elements.first { $0.name == name }?.kind.operations ?? [])
  }

  private var elementNames: [String] { pipeline.composites.map(\.name) + pipeline.elements.map(\.name) }

  private func reason(_ element: String, _ operation: String) -> String {
    guard elementNames.contains(element) else {
      return "there is no element '\(element)'; \(remedy(for: element, among: elementNames))"
    }
    let known = operations(of: element).map(\.name)
    return known.isEmpty
      ? "'\(element)' has no operations; 'nfvrun ctl SOCKET' lists those of others"
      : "'\(element)' has no operation '\(operation)'; \(remedy(for: operation, among: known))"
  }

  // MARK: Operations of the run

  private static let own = [
    OperationDescription("operations", "Lists what can be asked."),
    OperationDescription("report", "Tells what happened to packets so far, as JSON."),
    OperationDescription(
      "reload", "Reads the file again and takes over what can be replaced, of all elements or of one.",
      parameters: [OperationParameter("element", "the one")]),
  ]

  private func answer(_ request: ControlRequest) -> String {
    let given = Set(request.arguments.keys)
    switch request.operation {
    case "operations" where given.isEmpty:
      let ofElements = elementNames.flatMap { name in operations(of: name).map { describe(name, $0) } }
      return (Self.own.map { describe("", $0) } + ofElements).joined() + ControlRequest.end
    case "report" where given.isEmpty:
      var report = opened.report(of: pipeline, isRunning: true)
      report.nanoseconds = nowNanoseconds() - started
      report.showsCycles = true
      return ControlRequest.row([("report", report.json.text)]) + ControlRequest.end
    case "reload" where given.isSubset(of: ["element"]):
      return reload(request.arguments["element"])
    default:
      return ControlRequest.failure(
        Self.own.contains { $0.name == request.operation }
          ? "'\(request.operation)' takes \(request.operation == "reload" ? "'element' alone" : "no arguments")"
          : "there is no operation '\(request.operation)'; \(remedy(for: request.operation, among: Self.own.map(\.name)))"
      )
    }
  }

  private func describe(_ element: String, _ operation: OperationDescription) -> String {
    ControlRequest.row([
      ("element", element), ("operation", operation.name),
      ("parameters", operation.parameters.map(\.name).joined(separator: " ")), ("about", operation.summary),
    ])
  }

  private func reload(_ element: String?) -> String {
    guard let reload, let readers = opened.readers else {
      return ControlRequest.failure("this run cannot read its file again")
    }
    do throws(ConfigurationError) {
      let replaced = try pipeline.takeOver(try reload(pipeline), element: element, readers: readers)
      return replaced.map { ControlRequest.row([("element", $0), ("replaced", "yes")]) }.joined() + ControlRequest.end
    } catch {
      return ControlRequest.failure(error.diagnostics.map { $0.rendered(colour: false) }.joined(separator: "\n"))
    }
  }
}
