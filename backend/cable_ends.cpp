// SPDX-License-Identifier: MIT
#include "backend/cable_ends.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <system_error>
#include <thread>

#include "switch/base/text.h"

namespace lanyard {
namespace {

constexpr std::size_t kErrorTextMax = 500;

Result<void> make_pair(int type, UniqueFd& ours, UniqueFd& theirs) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return Error{errno, fmt::format("socketpair: {}", std::strerror(errno))};
  }
  ours.reset(ends[0]);
  theirs.reset(ends[1]);
  return {};
}

// The thread's whole life. It says with one message whether it could be opened: empty but for its
// NUL, or why not.
void live(CableThread& thread, const CableEnds& ends) {
  std::string report = thread.open();
  report.resize(std::min(report.size(), kErrorTextMax));
  const bool opened = report.empty();
  report.push_back('\0');
  if (::send(ends.control.get(), report.data(), report.size(), MSG_NOSIGNAL) < 0) return;
  if (opened) thread.run(ends);
}

// Signals are the daemon's own.
Result<void> start(std::shared_ptr<CableThread> thread, CableEnds ends) {
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  Result<void> started;
  try {
    std::thread([thread = std::move(thread), ends = std::move(ends)] {
      live(*thread, ends);
    }).detach();
  } catch (const std::system_error& error) {
    started = Error{EAGAIN, fmt::format("a thread for a cable: {}", error.what())};
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return started;
}

class ThreadAttempt final : public CableAttempt {
 public:
  ThreadAttempt(EventLoop& loop, CableDone done) : loop_(loop), done_(std::move(done)) {}

  Result<void> begin(std::unique_ptr<CableThread> thread) {
    CableEnds theirs;
    if (Result<void> made = make_pair(SOCK_DGRAM, ours_.data, theirs.data); !made) return made;
    if (Result<void> made = make_pair(SOCK_SEQPACKET, ours_.control, theirs.control); !made) {
      return made;
    }
    Result<EventLoop::Watch> watch =
        loop_.watch(ours_.control.get(), EPOLLIN, [this](std::uint32_t) { on_report(); });
    if (!watch) return watch.error();
    watch_ = watch.take();
    return start(std::move(thread), std::move(theirs));
  }

 private:
  void on_report() {
    std::array<char, kErrorTextMax + 2> report{};
    const ssize_t count =
        ::recv(ours_.control.get(), report.data(), report.size() - 1, MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    watch_.reset();
    const CableDone done = std::move(done_);
    if (count <= 0) return done(Error{EIO, "its thread has ended"});
    if (report[0] != '\0') return done(Error{EIO, report.data()});
    done(std::move(ours_));
  }

  EventLoop& loop_;
  CableDone done_;
  CableEnds ours_;
  EventLoop::Watch watch_;
};

}  // namespace

MadeCable make_cable(CableEnds ends, const std::string& label, std::uint32_t frame_max,
                     const std::shared_ptr<DatagramBatches>& batches) {
  MadeCable made;
  made.id = ends.data.get();
  made.endpoint =
      std::make_unique<DatagramEndpoint>(std::move(ends.data), label, frame_max, batches);
  made.control = std::move(ends.control);
  return made;
}

Result<std::unique_ptr<CableAttempt>> begin_thread_cable(std::unique_ptr<CableThread> thread,
                                                         EventLoop& loop, CableDone done) {
  auto attempt = std::make_unique<ThreadAttempt>(loop, std::move(done));
  if (Result<void> begun = attempt->begin(std::move(thread)); !begun) return begun.error();
  return std::unique_ptr<CableAttempt>(std::move(attempt));
}

}  // namespace lanyard
