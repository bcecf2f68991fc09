import Tables
import Testing

/// A wheel that expectations can look at.
private final class Wheel {
  var wheel: TimerWheel

  init(capacity: Int, resolution: UInt64, now: UInt64 = 0) {
    wheel = TimerWheel(capacity: capacity, resolution: resolution, now: now)
  }

  var count: Int { wheel.count }
  var nextEvent: UInt64? { wheel.nextEvent }
  func set(_ payload: UInt64, at deadline: UInt64) -> TimerWheel.Timer? { wheel.set(payload, at: deadline) }
  func move(_ timer: TimerWheel.Timer, to deadline: UInt64) -> Bool { wheel.move(timer, to: deadline) }
  func cancel(_ timer: TimerWheel.Timer) -> UInt64? { wheel.cancel(timer) }
  func isSet(_ timer: TimerWheel.Timer) -> Bool { wheel.isSet(timer) }
  func popExpired(now: UInt64) -> UInt64? { wheel.popExpired(now: now) }
}

@Suite struct TimerWheelTests {
  /// Timers in a list, looked through from end to end.
  struct Model {
    var timers: [(payload: UInt64, tick: UInt64, order: Int, timer: TimerWheel.Timer)] = []
    var order = 0
    let resolution: UInt64

    func tick(_ deadline: UInt64) -> UInt64 { deadline / resolution + (deadline % resolution == 0 ? 0 : 1) }

    mutating func add(_ payload: UInt64, _ deadline: UInt64, _ timer: TimerWheel.Timer, clock: UInt64) {
      order += 1
      timers.append((payload, max(tick(deadline), clock), order, timer))
    }

    mutating func expire(_ now: UInt64) -> [UInt64] {
      let expired = timers.filter { $0.tick <= now / resolution }.sorted { ($0.tick, $0.order) < ($1.tick, $1.order) }
      timers.removeAll { $0.tick <= now / resolution }
      return expired.map(\.payload)
    }
  }

  @Test(arguments: [UInt64(1), 7, 1_000_000]) func agreesWithASortedList(resolution: UInt64) {
    var random = SystemRandomNumberGenerator()
    for _ in 0..<20 {
      var now = UInt64.random(in: 0...1 << 40, using: &random)
      let wheel = Wheel(capacity: 200, resolution: resolution, now: now)
      var model = Model(resolution: resolution)
      var nextPayload: UInt64 = 0
      for _ in 0..<2000 {
        switch Int.random(in: 0..<10, using: &random) {
        case 0..<4:
          let deadline = now &+ UInt64.random(in: 0...1 << UInt64.random(in: 0...42, using: &random), using: &random)
          let timer = wheel.set(nextPayload, at: deadline)
          #expect((timer == nil) == (model.timers.count == 200))
          if let timer { model.add(nextPayload, deadline, timer, clock: now / resolution) }
          nextPayload += 1
        case 4:
          guard let index = model.timers.indices.randomElement(using: &random) else { continue }
          let removed = model.timers.remove(at: index)
          #expect(wheel.isSet(removed.timer))
          #expect(wheel.cancel(removed.timer) == removed.payload)
          #expect(wheel.cancel(removed.timer) == nil)
          #expect(!wheel.isSet(removed.timer))
        case 5:
          guard let index = model.timers.indices.randomElement(using: &random) else { continue }
          let moved = model.timers.remove(at: index)
          let deadline = now &+ UInt64.random(in: 0...1 << 30, using: &random)
          #expect(wheel.move(moved.timer, to: deadline))
          model.add(moved.payload, deadline, moved.timer, clock: now / resolution)
        default:
          now += UInt64.random(in: 0...1 << UInt64.random(in: 0...38, using: &random), using: &random)
          var expired: [UInt64] = []
          while let payload = wheel.popExpired(now: now) { expired.append(payload) }
          #expect(expired == model.expire(now))
        }
        #expect(wheel.count == model.timers.count)
        let earliest = model.timers.map(\.tick).min()
        #expect((wheel.nextEvent == nil) == (earliest == nil))
        if let next = wheel.nextEvent, let earliest { #expect(next / resolution <= earliest) }
      }
    }
  }

  @Test(arguments: [UInt64(1), 63, 64, 4095, 4096, 1 << 40, 1 << 60, .max]) func isReachedInFewSteps(deadline: UInt64) {
    let wheel = Wheel(capacity: 1, resolution: 1)
    #expect(wheel.set(5, at: deadline) != nil)
    var steps = 0
    var found: UInt64?
    var now: UInt64 = 0
    while found == nil, let next = wheel.nextEvent, steps < 20 {
      #expect(next > now)
      now = next
      found = wheel.popExpired(now: now)
      steps += 1
    }
    #expect(found == 5)
    #expect(now == deadline)
    #expect(steps <= 11)
  }

  @Test func isNeverEarlyAndLateByLessThanTheResolution() {
    let wheel = Wheel(capacity: 2, resolution: 1000)
    _ = wheel.set(1, at: 1001)
    _ = wheel.set(2, at: 2000)
    #expect(wheel.popExpired(now: 1999) == nil)
    #expect(wheel.popExpired(now: 2000) == 1)
    #expect(wheel.popExpired(now: 2000) == 2)
    #expect(wheel.popExpired(now: .max) == nil)
    #expect(wheel.nextEvent == nil)
  }

  @Test func aTimerOfThePastExpiresAtOnce() {
    let wheel = Wheel(capacity: 1, resolution: 1, now: 1000)
    _ = wheel.set(1, at: 10)
    #expect(wheel.nextEvent == 1000)
    #expect(wheel.popExpired(now: 5) == 1)
  }

  @Test func anOldHandleDoesNotReachANewTimer() throws {
    let wheel = Wheel(capacity: 1, resolution: 1)
    let old = try #require(wheel.set(1, at: 10))
    #expect(wheel.set(2, at: 10) == nil)
    #expect(wheel.popExpired(now: 10) == 1)
    let new = try #require(wheel.set(2, at: 20))
    #expect(wheel.cancel(old) == nil)
    #expect(!wheel.move(old, to: 30))
    #expect(wheel.cancel(new) == 2)
    #expect(wheel.count == 0)
  }

  @Test func aTimerCanBeSetWhileOthersExpire() {
    let wheel = Wheel(capacity: 4, resolution: 1)
    _ = wheel.set(1, at: 5)
    var times: [UInt64] = []
    while let payload = wheel.popExpired(now: 100) {
      times.append(payload)
      if payload < 5 { _ = wheel.set(payload + 1, at: 5 + payload * 10) }
    }
    #expect(times == [1, 2, 3, 4, 5])
  }
}
