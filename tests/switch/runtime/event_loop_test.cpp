// SPDX-License-Identifier: MIT
#include "switch/runtime/event_loop.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/temporary_directory.h"

namespace lanyard {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::TemporaryDirectory;
using Timer = EventLoop::Timer;
using Watch = EventLoop::Watch;

struct Pipe {
  Pipe() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK), 0);
    read_end.reset(ends[0]);
    write_end.reset(ends[1]);
  }
  void fill() { EXPECT_EQ(::write(write_end.get(), "x", 1), 1); }
  void drain() {
    std::array<char, 16> bytes{};
    while (::read(read_end.get(), bytes.data(), bytes.size()) > 0) {
    }
  }
  UniqueFd read_end;
  UniqueFd write_end;
};

class EventLoopTest : public ::testing::Test {
 protected:
  Watch watch(int fd, EventLoop::Ready ready, std::uint32_t events = EPOLLIN) {
    Result<Watch> watch = loop_->watch(fd, events, std::move(ready));
    EXPECT_TRUE(watch.ok());
    return watch.take();
  }
  // Rounds until it is so, with a deadline of its own.
  template <typename Predicate>
  bool until(Predicate&& predicate) {
    const Time deadline = monotonic_now() + seconds(10);
    const Timer guard = loop_->after(seconds(10), [] {});
    while (!predicate() && monotonic_now() < deadline) loop_->run_once(false);
    return predicate();
  }

  std::unique_ptr<EventLoop> loop_ = EventLoop::create().take();
};

// ---- descriptors ----

TEST_F(EventLoopTest, CallsWhenADescriptorIsReady) {
  Pipe pipe;
  std::uint32_t seen = 0;
  const Watch w = watch(pipe.read_end.get(), [&](std::uint32_t events) { seen = events; });
  EXPECT_TRUE(static_cast<bool>(w));
  loop_->run_once(true);
  EXPECT_EQ(seen, 0U);
  pipe.fill();
  loop_->run_once(false);
  EXPECT_EQ(seen, EPOLLIN);
}

TEST_F(EventLoopTest, TellsTheEndOfTheOtherSide) {
  Pipe pipe;
  std::uint32_t seen = 0;
  const Watch w = watch(pipe.read_end.get(), [&](std::uint32_t events) { seen = events; });
  pipe.write_end.reset();
  loop_->run_once(false);
  EXPECT_EQ(seen & EPOLLHUP, EPOLLHUP);
}

TEST_F(EventLoopTest, StopsCallingWhenTheWatchEnds) {
  Pipe pipe;
  int calls = 0;
  {
    const Watch w = watch(pipe.read_end.get(), [&](std::uint32_t) { ++calls; });
    pipe.fill();
    loop_->run_once(true);
  }
  loop_->run_once(true);
  EXPECT_EQ(calls, 1);
}

TEST_F(EventLoopTest, FollowsAWatchThatMoves) {
  Pipe pipe;
  int calls = 0;
  Watch outer;
  {
    Watch inner = watch(pipe.read_end.get(), [&](std::uint32_t) { ++calls; });
    outer = std::move(inner);
  }
  pipe.fill();
  loop_->run_once(true);
  EXPECT_EQ(calls, 1);
}

TEST_F(EventLoopTest, ChangesWhatIsWaitedFor) {
  Pipe pipe;
  std::uint32_t seen = 0;
  Watch w = watch(
      pipe.write_end.get(), [&](std::uint32_t events) { seen |= events; }, 0);
  loop_->run_once(true);
  EXPECT_EQ(seen, 0U);
  w.set_events(EPOLLOUT);
  loop_->run_once(true);
  EXPECT_EQ(seen, EPOLLOUT);
  seen = 0;
  w.set_events(0);
  loop_->run_once(true);
  EXPECT_EQ(seen, 0U);
}

TEST_F(EventLoopTest, LetsACallbackEndItsOwnWatch) {
  Pipe pipe;
  int calls = 0;
  Watch w;
  const auto alive = std::make_shared<int>(7);
  w = watch(pipe.read_end.get(), [&w, &calls, alive](std::uint32_t) {
    w.reset();
    ++calls;
    EXPECT_EQ(*alive, 7) << "what the callback holds lives as long as it runs";
  });
  pipe.fill();
  loop_->run_once(true);
  loop_->run_once(true);
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(alive.use_count(), 1) << "and no longer";
}

TEST_F(EventLoopTest, DoesNotCallAWatchThatEndedInTheSameRound) {
  std::array<Pipe, 2> pipes;
  std::array<Watch, 2> watches;
  int calls = 0;
  for (std::size_t i = 0; i < 2; ++i) {
    watches[i] = watch(pipes[i].read_end.get(), [&, i](std::uint32_t) {
      ++calls;
      watches[1 - i].reset();
    });
    pipes[i].fill();
  }
  loop_->run_once(true);
  EXPECT_EQ(calls, 1) << "whichever came first has ended the other";
}

TEST_F(EventLoopTest, DoesNotGiveAnOldEventToANewWatch) {
  // Two ready pipes: whichever is called first ends the other's watch, closes its descriptor, and
  // watches a new one, which gets the same number and perhaps the same place.
  std::array<Pipe, 2> pipes;
  std::array<Watch, 2> watches;
  Pipe quiet;
  int wrong_calls = 0;
  for (std::size_t i = 0; i < 2; ++i) {
    watches[i] = watch(pipes[i].read_end.get(), [&, i](std::uint32_t) {
      watches[i].reset();
      watches[1 - i].reset();
      pipes[1 - i].read_end.reset();
      const int same_number = ::dup(quiet.read_end.get());
      pipes[1 - i].read_end.reset(same_number);
      watches[1 - i] = watch(same_number, [&](std::uint32_t) { ++wrong_calls; });
    });
    pipes[i].fill();
  }
  loop_->run_once(true);
  loop_->run_once(true);
  EXPECT_EQ(wrong_calls, 0);
  quiet.fill();
  loop_->run_once(true);
  EXPECT_EQ(wrong_calls, 1) << "and the new one works";
}

TEST_F(EventLoopTest, TakesNewWatchesInACallback) {
  Pipe first;
  Pipe second;
  Watch added;
  int calls = 0;
  Watch w = watch(first.read_end.get(), [&](std::uint32_t) {
    w.reset();
    added = watch(second.read_end.get(), [&](std::uint32_t) { ++calls; });
  });
  first.fill();
  second.fill();
  loop_->run_once(true);
  loop_->run_once(true);
  EXPECT_EQ(calls, 1);
}

TEST_F(EventLoopTest, ServesManyDescriptorsInARound) {
  constexpr std::size_t kMany = 300;  // more than are fetched at once
  std::vector<Pipe> pipes(kMany);
  std::vector<Watch> watches;
  std::size_t calls = 0;
  for (Pipe& pipe : pipes) {
    watches.push_back(watch(pipe.read_end.get(), [&](std::uint32_t) {
      ++calls;
      pipe.drain();
    }));
    pipe.fill();
  }
  for (int i = 0; i < 5; ++i) loop_->run_once(true);
  EXPECT_EQ(calls, kMany);
}

TEST_F(EventLoopTest, SaysWhenADescriptorCannotBeWatched) {
  const Result<Watch> bad = loop_->watch(987654, EPOLLIN, [](std::uint32_t) {});
  ASSERT_FALSE(bad.ok());
  EXPECT_EQ(bad.error().code, EBADF);
  const Pipe pipe;
  const Watch w = watch(pipe.read_end.get(), [](std::uint32_t) {});
  const Result<Watch> twice = loop_->watch(pipe.read_end.get(), EPOLLIN, [](std::uint32_t) {});
  ASSERT_FALSE(twice.ok());
  EXPECT_EQ(twice.error().code, EEXIST);
}

TEST_F(EventLoopTest, ReportsWhatEpollCannotWatchInEveryRound) {
  const TemporaryDirectory directory;
  const std::string file = directory.file("f", "text");
  for (const std::string& path : {std::string("/dev/null"), file}) {
    SCOPED_TRACE(path);
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    int calls = 0;
    Watch w = watch(fd.get(), [&](std::uint32_t events) {
      EXPECT_EQ(events, EPOLLIN);
      ++calls;
    });
    for (int i = 0; i < 3; ++i) loop_->run_once(false);  // none of them sleeps
    EXPECT_EQ(calls, 3);
    w.set_events(0);
    loop_->run_once(true);
    EXPECT_EQ(calls, 3);
    w.set_events(EPOLLIN);
    loop_->run_once(false);
    EXPECT_EQ(calls, 4);
    w.reset();
    loop_->run_once(true);
    EXPECT_EQ(calls, 4);
  }
}

TEST_F(EventLoopTest, LetsAnAlwaysReadyDescriptorEndItself) {
  const UniqueFd fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  int calls = 0;
  Watch w;
  w = watch(fd.get(), [&](std::uint32_t) {
    ++calls;
    w.reset();
  });
  loop_->run_once(false);
  loop_->run_once(true);
  EXPECT_EQ(calls, 1);
}

// ---- timers ----

TEST_F(EventLoopTest, RunsATimerOnceAndNotTooEarly) {
  int calls = 0;
  const Time start = loop_->now();
  const Timer timer = loop_->after(milliseconds(5), [&] { ++calls; });
  EXPECT_TRUE(static_cast<bool>(timer));
  loop_->run_once(true);
  EXPECT_EQ(calls, loop_->now() - start >= milliseconds(5));
  EXPECT_TRUE(until([&] { return calls == 1; }));
  EXPECT_GE(loop_->now() - start, milliseconds(5));
  loop_->run_once(true);
  EXPECT_EQ(calls, 1);
}

TEST_F(EventLoopTest, WakesUpForTheNearestDeadline) {
  std::string order;
  const Timer late = loop_->after(milliseconds(4), [&] { order += "3"; });
  const Timer early = loop_->after(milliseconds(1), [&] { order += "1"; });
  const Timer middle = loop_->after(milliseconds(2), [&] { order += "2"; });
  EXPECT_TRUE(until([&] { return order.size() == 3; }));
  EXPECT_EQ(order, "123");
}

TEST_F(EventLoopTest, LooksForAnExactTimerWithoutSleepAtTheEnd) {
  const Time start = loop_->now();
  int calls = 0;
  const Timer timer = loop_->exactly_after(milliseconds(2), [&] { ++calls; });
  int rounds = 0;
  while (calls == 0 && ++rounds < 100) loop_->run_once(false);
  EXPECT_GE(loop_->now() - start, milliseconds(2));
  // Sleep until shortly before; look until it is due; and no round that spins in vain.
  EXPECT_LE(rounds, 3);
}

TEST_F(EventLoopTest, ServesDescriptorsWhileItLooksForAnExactTimer) {
  bool expired = false;
  int served = 0;
  const Timer timer = loop_->exactly_after(std::chrono::microseconds(100), [&] { expired = true; });
  Pipe pipe;
  pipe.fill();
  const Watch w = watch(pipe.read_end.get(), [&](std::uint32_t) { ++served; });
  loop_->run_once(false);
  EXPECT_EQ(served, 1);
  EXPECT_TRUE(until([&] { return expired; }));
}

TEST_F(EventLoopTest, RunsTimersOfOneMomentInTheOrderOfTheirMaking) {
  std::string order;
  std::vector<Timer> timers;
  for (const char c : {'a', 'b', 'c'}) {
    timers.push_back(loop_->after(Duration{0}, [&order, c] { order += c; }));
  }
  loop_->run_once(false);
  EXPECT_EQ(order, "abc");
}

TEST_F(EventLoopTest, RepeatsAndDoesNotMakeUpForWhatItMissed) {
  int calls = 0;
  const Timer timer = loop_->every(Duration{1}, [&] { ++calls; });
  for (int round = 1; round <= 5; ++round) {
    loop_->run_once(false);
    EXPECT_EQ(calls, round) << "once a round, though millions of periods have passed";
  }
}

TEST_F(EventLoopTest, EndsATimerWithItsHandle) {
  int calls = 0;
  {
    const Timer timer = loop_->after(Duration{0}, [&] { ++calls; });
  }
  Timer other = loop_->every(Duration{1}, [&] { ++calls; });
  other.reset();
  loop_->run_once(true);
  EXPECT_EQ(calls, 0);
  EXPECT_FALSE(static_cast<bool>(other));
}

TEST_F(EventLoopTest, FollowsATimerThatMoves) {
  int calls = 0;
  Timer outer;
  {
    Timer inner = loop_->after(Duration{0}, [&] { ++calls; });
    outer = std::move(inner);
  }
  loop_->run_once(false);
  EXPECT_EQ(calls, 1);
}

TEST_F(EventLoopTest, LetsATimerEndItselfAndOthers) {
  int calls = 0;
  Timer self;
  Timer other;
  self = loop_->every(Duration{1}, [&] {
    ++calls;
    self.reset();
    other.reset();
  });
  other = loop_->every(Duration{2}, [&] { calls += 100; });
  for (int i = 0; i < 3; ++i) loop_->run_once(true);
  EXPECT_EQ(calls, 1);
}

TEST_F(EventLoopTest, LetsATimerReplaceItself) {
  std::string order;
  Timer timer;
  timer = loop_->after(Duration{0}, [&] {
    order += "a";
    timer = loop_->after(Duration{0}, [&] { order += "b"; });
  });
  EXPECT_TRUE(until([&] { return order.size() == 2; }));
  EXPECT_EQ(order, "ab");
}

// What a callback puts off comes after the descriptors have had their turn, or a part that puts
// itself off again and again would stop the frames.
TEST_F(EventLoopTest, RunsATimerThatIsMadeInARoundInALaterRound) {
  int calls = 0;
  Timer timer;
  const std::function<void()> again = [&] {
    if (++calls < 50) timer = loop_->after(Duration{0}, again);
  };
  timer = loop_->after(Duration{0}, again);
  loop_->run_once(false);
  EXPECT_EQ(calls, 1);
  loop_->run_once(false);
  EXPECT_EQ(calls, 2);
}

TEST_F(EventLoopTest, HearsDescriptorsWhileTimersAreFarAway) {
  Pipe pipe;
  int calls = 0;
  const Timer timer = loop_->after(seconds(1000), [] {});
  const Watch w = watch(pipe.read_end.get(), [&](std::uint32_t) { ++calls; });
  pipe.fill();
  loop_->run_once(false);
  EXPECT_EQ(calls, 1);
}

TEST_F(EventLoopTest, SleepsAgainAfterATimerHasRun) {
  // A timer that stays readable would turn every later sleep into a busy round.
  int expired = 0;
  const Timer once = loop_->after(Duration{0}, [&] { ++expired; });
  EXPECT_TRUE(until([&] { return expired == 1; }));
  const Time before = loop_->now();
  int rounds = 0;
  const Timer later = loop_->after(milliseconds(20), [&] { ++expired; });
  while (expired == 1 && rounds < 1000) {
    loop_->run_once(false);
    ++rounds;
  }
  EXPECT_EQ(expired, 2);
  EXPECT_LE(rounds, 4);
  EXPECT_GE(loop_->now() - before, milliseconds(20));
}

TEST_F(EventLoopTest, HoldsTheTimeBetweenRounds) {
  const Time before = loop_->now();
  EXPECT_TRUE(until([&] { return monotonic_now() > before; }) || true);
  const Time held = loop_->now();
  EXPECT_EQ(loop_->now(), held);
  loop_->run_once(true);
  EXPECT_GE(loop_->now(), held);
}

TEST_F(EventLoopTest, HurriesATimerThatWasFarAway) {
  int ticks = 0;
  Timer far = loop_->after(std::chrono::hours(1), [&] { ++ticks; });
  Timer period = loop_->every(std::chrono::hours(1), [&] { ++ticks; });
  Timer none;
  far.hurry();
  period.hurry();
  none.hurry();
  loop_->run_once(false);
  EXPECT_EQ(ticks, 2);
  far.hurry();
  loop_->run_once(true);
  EXPECT_EQ(ticks, 2) << "it has been";
}

TEST_F(EventLoopTest, OneThatHurriesItselfLetsOthersBetween) {
  int ticks = 0;
  Timer step;
  step = loop_->every(std::chrono::hours(1), [&] {
    if (++ticks < 3) step.hurry();
  });
  step.hurry();
  for (int round = 1; round <= 3; ++round) {
    loop_->run_once(false);
    EXPECT_EQ(ticks, round);
  }
  const Time before = loop_->now();
  step.hurry(milliseconds(20));
  loop_->run_once(false);
  EXPECT_EQ(ticks, 4);
  EXPECT_GE(loop_->now() - before, milliseconds(20));
}

TEST_F(EventLoopTest, GoesOnWhenACallbackFindsNoMemory) {
  Pipe starved;
  Pipe other;
  int heard = 0;
  int ticks = 0;
  const Watch first = watch(starved.read_end.get(), [](std::uint32_t) { throw std::bad_alloc(); });
  const Watch second = watch(other.read_end.get(), [&](std::uint32_t) { ++heard; });
  const Timer once = loop_->after(milliseconds(0), [] { throw std::bad_alloc(); });
  const Timer again = loop_->every(milliseconds(1), [&] {
    if (++ticks == 1) throw std::bad_alloc();
    loop_->stop();
  });
  starved.fill();
  other.fill();
  while (!loop_->stopped()) loop_->run_once(false);
  EXPECT_GT(heard, 0);
  EXPECT_EQ(ticks, 2) << "a period goes on";
  EXPECT_GE(loop_->given_up(), 3U);
}

// What the handler of a signal finds.
volatile sig_atomic_t written_by_handler = -1;
const Time* volatile handler_until = nullptr;

// As a process that was stopped (SIGSTOP) finds it: interrupted, and everything was earlier.
TEST_F(EventLoopTest, AfterAnInterruptionDescriptorsComeBeforeDeadlines) {
  Pipe pipe;
  std::vector<std::string> order;
  const Watch w = watch(pipe.read_end.get(), [&](std::uint32_t) {
    pipe.drain();
    order.emplace_back("descriptor");
  });
  const Timer timer = loop_->after(milliseconds(30), [&] { order.emplace_back("deadline"); });
  const Time until = loop_->now() + milliseconds(40);
  handler_until = &until;
  written_by_handler = pipe.write_end.get();
  struct sigaction action {};
  action.sa_handler = [](int) {
    while (monotonic_now() < *handler_until) {
    }
    (void)!::write(written_by_handler, "x", 1);
  };
  struct sigaction before {};
  ASSERT_EQ(::sigaction(SIGALRM, &action, &before), 0);
  const itimerval soon{{0, 0}, {0, 5000}};
  ASSERT_EQ(::setitimer(ITIMER_REAL, &soon, nullptr), 0);
  EXPECT_TRUE(this->until([&] { return order.size() == 2; }));
  ::sigaction(SIGALRM, &before, nullptr);
  EXPECT_EQ(order, (std::vector<std::string>{"descriptor", "deadline"}));
}

TEST_F(EventLoopTest, SaysThatItHasBeenStopped) {
  EXPECT_FALSE(loop_->stopped());
  loop_->stop();
  EXPECT_TRUE(loop_->stopped());
}

}  // namespace
}  // namespace lanyard
