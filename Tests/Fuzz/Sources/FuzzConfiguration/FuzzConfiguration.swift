import Assembly
import Configuration
import Elements

/// Any bytes as a pipeline: they give a checked pipeline or diagnostics with text, never a crash or an endless run.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzConfiguration(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
  let text = String(decoding: UnsafeBufferPointer(start: start, count: count), as: UTF8.self)
  do throws(ConfigurationError) {
    let pipeline = try Pipeline.load(text: text, name: "fuzz.yaml", elements: catalogue)
    precondition(!pipeline.graph.drawing.isEmpty || pipeline.graph.edges.isEmpty)
  } catch {
    precondition(!error.diagnostics.isEmpty)
    for diagnostic in error.diagnostics { precondition(!diagnostic.rendered().isEmpty) }
  }
  return 0
}
