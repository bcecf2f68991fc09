import Assembly
import Configuration
import Dataplane
import Elements
import Testing

/// Two inputs and two outputs, one of which delivers IPv4 only.
struct Mixer: PacketElement {
  enum Input: UInt8, InputPort { case left, right }
  enum Output: UInt8, OutputPort {
    case even, odd
    var delivers: HeaderState? { self == .odd ? .ipv4 : nil }
  }

  init(_ settings: inout Settings) throws(ConfigurationError) {}
  mutating func process(_ packet: inout Packet) -> Verdict<Output> { .forward(.even) }
}

let kinds = catalogue + [ElementKind(Mixer.self)]

/// Loads a pipeline's text; `nfv: 1` goes before it in the same line, so that lines keep their numbers.
func load(
  _ text: String, set: [String] = [], rebinding: [PortBinding]? = nil
) throws(ConfigurationError) -> Pipeline {
  try Pipeline.load(text: text, name: "p.yaml", elements: kinds, parameters: set, rebinding: rebinding)
}

/// Every mistake of a pipeline as the user sees its first line, without the word that says how bad it is.
func mistakes(_ text: String, set: [String] = [], rebinding: [PortBinding]? = nil) -> [String] {
  do throws(ConfigurationError) {
    _ = try load(text, set: set, rebinding: rebinding)
    return []
  } catch {
    return error.diagnostics.filter { $0.severity == .error }.map { diagnostic in
      let line = diagnostic.rendered().split(separator: "\n")[0]
      return line.replacing("p.yaml:", with: "").replacing(" error: ", with: " ")
    }
  }
}

/// A pipeline of two ports with these elements and connections.
func pipeline(_ elements: String = "", _ graph: String...) -> String {
  """
  nfv: 1
  ports: { lan: { pcap: a.pcap }, wan: { pcap: { out: b.pcap } } }
  elements: { \(elements) }
  graph:

  """ + graph.map { "  - \($0)\n" }.joined()
}

extension Substring {
  func replacing(_ part: String, with other: String) -> String {
    var out = ""
    var rest = self
    while !rest.isEmpty {
      if rest.hasPrefix(part) {
        out += other
        rest = rest.dropFirst(part.count)
      } else {
        out.append(rest.removeFirst())
      }
    }
    return out
  }
}

extension String {
  func replacing(_ part: String, with other: String) -> String { self[...].replacing(part, with: other) }
}

extension Graph {
  /// Every edge as `name.output -> name[input]: state`.
  var lines: [String] {
    edges.map { edge in
      let (from, to) = (nodes[edge.from], nodes[edge.to])
      return
        "\(from.name).\(from.outputs[edge.output].name) -> \(to.name)[\(to.inputs[edge.input].name)]: \(edge.state)"
    }
  }
}
