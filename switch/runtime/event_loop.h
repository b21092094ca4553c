// SPDX-License-Identifier: MIT
//
// One thread's epoll loop: descriptors, timers, and the clock of everything that runs in it.
//
// What makes it hard: a callback may remove any watch or timer, its own included, while events for
// it are already fetched. So removal only marks; slots are reused after the round, and an event
// carries the generation of the slot it was armed for. Descriptors that epoll refuses (regular
// files, /dev/null) are treated as always readable, as poll(2) would say. And deadlines must cost
// nothing per wake-up: a time-out given to epoll_wait arms and cancels a kernel timer at every
// sleep (in a guest, an exit to the hypervisor each), so one timerfd holds the nearest deadline and
// is set anew only when that changes. To sleep at all costs more than to carry a frame:
// busy_poll.h, wake_moderation.h. And the kernel wakes a sleeper late, in a guest by a hundred
// microseconds and more, so a timer that must be exact is slept for only until shortly before
// (wake_lead.h). One thread.
#pragma once

#include <sys/epoll.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <vector>

#include "switch/base/fd.h"
#include "switch/base/result.h"
#include "switch/base/time.h"
#include "switch/runtime/busy_poll.h"
#include "switch/runtime/turn_times.h"
#include "switch/runtime/wake_lead.h"
#include "switch/runtime/wake_moderation.h"

namespace lanyard {

class EventLoop {
 public:
  using Ready = std::function<void(std::uint32_t epoll_events)>;
  using Expired = std::function<void()>;

  // Ends the watching of a descriptor when destroyed. The descriptor must still be open then.
  class Watch {
   public:
    Watch() = default;
    Watch(Watch&& other) noexcept { *this = std::move(other); }
    Watch& operator=(Watch&& other) noexcept;
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;
    ~Watch() { reset(); }
    void reset();
    void set_events(std::uint32_t epoll_events);
    explicit operator bool() const { return loop_ != nullptr; }

   private:
    friend class EventLoop;
    EventLoop* loop_ = nullptr;
    std::uint32_t slot_ = 0;
  };

  class Timer {
   public:
    Timer() = default;
    Timer(Timer&& other) noexcept { *this = std::move(other); }
    Timer& operator=(Timer&& other) noexcept;
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;
    ~Timer() { reset(); }
    void reset();
    // Due in the loop's next round, or so much later. It needs no memory.
    void hurry(Duration delay = Duration{0});
    explicit operator bool() const { return loop_ != nullptr; }

   private:
    friend class EventLoop;
    EventLoop* loop_ = nullptr;
    std::uint64_t id_ = 0;
  };

  static Result<std::unique_ptr<EventLoop>> create();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // EPERM never: what epoll cannot watch is reported readable in every round.
  Result<Watch> watch(int fd, std::uint32_t epoll_events, Ready ready);
  // Once, `delay` after now(); the timer ends with its handle.
  Timer after(Duration delay, Expired expired);
  // The same, but on time to some microseconds: the time before it that this machine may be late by
  // is not slept through, 500 us at most, and costs a processor.
  Timer exactly_after(Duration delay, Expired expired);
  Timer every(Duration period, Expired expired);
  // For what must not fail: hurried, as often as is wanted, and far away until then.
  Timer prepare(Expired expired) { return every(kFarAway, std::move(expired)); }
  static constexpr Duration kFarAway = std::chrono::hours(24);

  // The time at the last wake-up.
  Time now() const { return now_; }

  // One round: sleeps until something is due (or not at all when `poll_only`), then runs it.
  void run_once(bool poll_only);
  void stop() { stopped_ = true; }

  // Both off in a new loop. Whoever carries a frame in a round says so: that decides, too.
  void set_busy_poll(BusyPoll busy_poll) { busy_poll_ = busy_poll; }
  void moderate_wake_ups();
  void carried(std::size_t frame_size) {
    ++frames_carried_;
    mtu_frames_carried_ += 1 + frame_size / kMtuFrame;
  }
  // Callbacks that found no memory (std::bad_alloc), and so have not done all that they were to.
  // The others go on: what was readable still is, and a peer that is not answered asks again.
  std::uint64_t given_up() const { return given_up_; }
  // The same for work of the lane's own.
  template <typename Work>
  bool run(Work&& work) {
    try {
      work();
      return true;
    } catch (const std::bad_alloc&) {
      ++given_up_;
      return false;
    }
  }
  bool stopped() const { return stopped_; }
  // Of all turns so far.
  const TurnTimes& turn_times() const { return turn_times_; }

 private:
  struct Slot {
    int fd = -1;
    std::uint32_t events = 0;
    std::uint32_t generation = 0;
    bool live = false;
    bool always_ready = false;
    bool unset = false;  // `events` is not what the kernel knows
    Ready ready;
    // Ready now, without the kernel having to say so.
    bool due() const { return live && always_ready && (events & (EPOLLIN | EPOLLOUT)) != 0; }
  };
  struct Alarm {
    Duration period{0};
    Expired expired;
    bool exact = false;
  };

  EventLoop(UniqueFd epoll, UniqueFd timer)
      : epoll_(std::move(epoll)), timer_(std::move(timer)), now_(monotonic_now()) {}

  bool has_due_slot() const;
  int wait(bool poll_only);
  int look_then_sleep(Time begin);
  int look_until(Time due);
  static void sleep(Duration duration);
  int fetch(int timeout_ms);
  void set_deadline();
  void dispatch(const std::vector<epoll_event>& events, std::size_t count);
  void expire();
  void add_slot();
  bool tell_kernel(std::uint32_t index);
  void set_unset();
  void remove(std::uint32_t slot);
  void sweep();
  Timer arm(Duration delay, Alarm alarm);
  static std::uint64_t tag(std::uint32_t slot, std::uint32_t generation) {
    return std::uint64_t{generation} << 32 | slot;
  }

  static constexpr std::size_t kMtuFrame = 1522;
  static constexpr std::uint64_t kTimerTag = ~std::uint64_t{0};

  UniqueFd epoll_;
  UniqueFd timer_;
  Time deadline_{0};             // what timer_ is set to; 0: not set
  bool deadline_leads_ = false;  // it is not that of an alarm, but before one that is exact
  WakeLead lead_;
  Time now_;
  TurnTimes turn_times_;
  bool turned_ = false;
  bool stopped_ = false;
  BusyPoll busy_poll_;
  std::optional<WakeModeration> moderation_;
  std::size_t frames_carried_ = 0;  // since the last wait
  std::size_t mtu_frames_carried_ = 0;
  std::vector<std::unique_ptr<Slot>> slots_;
  std::vector<std::uint32_t> free_slots_;
  std::vector<std::uint32_t> removed_;
  std::vector<std::uint32_t> sweeping_;
  bool unset_ = false;  // the kernel had no room for what some slot waits for
  std::uint64_t given_up_ = 0;
  std::size_t always_ready_ = 0;  // slots that epoll cannot watch
  std::vector<epoll_event> fetched_ = std::vector<epoll_event>(128);
  std::map<std::pair<Time, std::uint64_t>, Alarm> alarms_;
  std::map<std::uint64_t, Time> alarm_times_;
  std::uint64_t next_alarm_ = 1;
};

}  // namespace lanyard
