public import Dataplane

/// Every element of the library, in the order of the reference.
public let catalogue: [ElementKind] = [
  ElementKind(DecTTL.self)
]
