import CDPDK

/// The packet buffers that ports fill and elements allocate from.
@safe
public final class PacketPool: @unchecked Sendable {
  let pool: OpaquePointer
  /// Bytes a buffer holds behind its headroom.
  public let dataRoom: Int

  /// Makes a pool.
  /// - Parameters:
  ///   - name: Unique in the process.
  ///   - packets: How many buffers; memory is `packets` times (`dataRoom` + 320) bytes.
  ///   - dataRoom: Bytes a buffer holds behind its headroom of 128; longer packets take several.
  /// - Throws: `EnvironmentError` when there is not enough memory.
  public init(name: String, packets: Int, dataRoom: Int = 2048) throws(EnvironmentError) {
    var error: Int32 = 0
    let cache = UInt32(min(512, packets / 4))
    guard let pool = unsafe nfv_pool_create(name, UInt32(packets), cache, UInt16(dataRoom), &error) else {
      throw EnvironmentError(
        "no memory for \(packets) packet buffers of \(dataRoom) bytes (\(describe(error)))",
        remedy: "lower runtime.packets in the pipeline, or give EAL more memory (runtime.memory)")
    }
    unsafe self.pool = pool
    self.dataRoom = dataRoom
  }

  deinit { unsafe nfv_pool_destroy(pool) }

  /// Buffers that nobody uses at the moment.
  public var available: Int { unsafe Int(nfv_pool_available(pool)) }
  /// All buffers.
  public var capacity: Int { unsafe Int(nfv_pool_capacity(pool)) }
  /// Packets of this pool that died without a verdict.
  public var abandoned: UInt64 { unsafe nfv_pool_abandoned(pool) }
}

/// The text for a DPDK or system error number.
func describe(_ error: Int32) -> String { unsafe String(cString: nfv_strerror(error)) }
