// SPDX-License-Identifier: MIT
//
// Two guests on a switch, as QEMU is one: libvdeplug, a blocking socket, no second try. One sends
// numbered frames at a steady rate, the other sends each back.
//
//   soak_guests DIRECTORY RATE
//
// A line on standard input is a question, after which nothing is sent if it is "pause" until there
// is another that is not. The answer is one line: the longest time without a frame since the last
// question in milliseconds, frames sent, frames back, the number of the newest that came back, the
// longest time a frame took to be sent in milliseconds, and 1 as long as both are connected. The
// end of the input is the end of the sending: the last answer comes when nothing more has come back
// for a while. What makes it hard is to be no part of what is measured: no allocation and no lock
// on the way of a frame, and a timer of its own.

#include <poll.h>
#include <sys/prctl.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

// It was not made for C++.
extern "C" {
#include <libvdeplug.h>
}

namespace {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::duration<double, std::milli>;

constexpr std::size_t kFrameSize = 64;
constexpr std::size_t kNumberAt = 14;
constexpr std::size_t kFramesMax = std::size_t{1} << 28;  // 15 hours at 5,000 a second
constexpr int kEndMs = 500;                               // nothing more comes after so long
using Bytes = std::array<std::uint8_t, kFrameSize>;

constexpr std::array<std::uint8_t, 6> kAsking{0x02, 0x4c, 0, 0, 0, 1};
constexpr std::array<std::uint8_t, 6> kAnswering{0x02, 0x4c, 0, 0, 0, 2};

void set_addresses(Bytes& frame, const std::array<std::uint8_t, 6>& destination,
                   const std::array<std::uint8_t, 6>& source) {
  std::copy(destination.begin(), destination.end(), frame.begin());
  std::copy(source.begin(), source.end(), frame.begin() + 6);
  frame[12] = 0x88;  // the first EtherType for local experiments
  frame[13] = 0xb5;
}

void raise_to(std::atomic<double>& longest, double value) {
  double before = longest;
  while (value > before && !longest.compare_exchange_weak(before, value)) {
  }
}

class Guest {
 public:
  explicit Guest(const char* directory) {
    std::string url = directory;
    std::string description = "soak";
    connection_ = vde_open(url.data(), description.data(), nullptr);
    if (connection_ == nullptr) {
      std::perror(directory);
      std::exit(1);
    }
  }
  ~Guest() { vde_close(connection_); }
  Guest(const Guest&) = delete;
  Guest& operator=(const Guest&) = delete;

  bool send(const Bytes& frame) { return vde_send(connection_, frame.data(), kFrameSize, 0) >= 0; }
  // False: nothing within this time.
  bool receive(Bytes& frame, int timeout_ms) {
    pollfd ready{vde_datafd(connection_), POLLIN, 0};
    if (poll(&ready, 1, timeout_ms) <= 0) return false;
    frame = {};
    return vde_recv(connection_, frame.data(), kFrameSize, 0) > 0;
  }
  // What QEMU never looks at.
  bool is_connected() const {
    pollfd closed{vde_ctlfd(connection_), POLLIN | POLLRDHUP, 0};
    return poll(&closed, 1, 0) == 0;
  }

 private:
  VDECONN* connection_;
};

class Guests {
 public:
  Guests(const char* directory, double rate)
      : asking_(directory), answering_(directory), period_(1 / rate), is_back_(kFramesMax) {
    prctl(PR_SET_TIMERSLACK, 1UL);
    Bytes hello{};
    std::array<std::uint8_t, 6> everybody{};
    everybody.fill(0xff);
    set_addresses(hello, everybody, kAnswering);
    answering_.send(hello);
    threads_.emplace_back([this] { answer(); });
    threads_.emplace_back([this] { hear(); });
    threads_.emplace_back([this] { ask(); });
  }

  void finish() {
    ending_ = true;
    pause(false);
    for (std::thread& thread : threads_) thread.join();
  }

  void pause(bool paused) {
    paused_ = paused;
    paused_.notify_one();
  }

  void report() {
    std::printf("%.3f %llu %llu %lld %.3f %d\n", longest_gap_ms_.exchange(0),
                static_cast<unsigned long long>(sent_), static_cast<unsigned long long>(back_),
                static_cast<long long>(newest_), longest_send_ms_.load(),
                asking_.is_connected() && answering_.is_connected() ? 1 : 0);
    std::fflush(stdout);
  }

 private:
  void ask() {
    Bytes frame{};
    set_addresses(frame, kAnswering, kAsking);
    auto due = Clock::now();
    while (!ending_ && sent_ < kFramesMax) {
      if (paused_) {
        paused_.wait(true);
        was_paused_ = true;
        due = Clock::now();
        continue;
      }
      std::uint64_t number = sent_;
      std::memcpy(&frame[kNumberAt], &number, sizeof number);
      const auto before = Clock::now();
      if (!asking_.send(frame)) return;
      raise_to(longest_send_ms_, Milliseconds(Clock::now() - before).count());
      ++sent_;
      due += std::chrono::duration_cast<Clock::duration>(period_);
      std::this_thread::sleep_until(due);
    }
  }

  void answer() {
    Bytes frame{};
    while (true) {
      if (!answering_.receive(frame, kEndMs)) {
        if (ending_) return;
        continue;
      }
      if (!std::equal(kAnswering.begin(), kAnswering.end(), frame.begin())) continue;
      set_addresses(frame, kAsking, kAnswering);
      if (!answering_.send(frame)) return;
    }
  }

  void hear() {
    Bytes frame{};
    auto last = Clock::now();
    while (true) {
      if (!asking_.receive(frame, kEndMs)) {
        if (ending_) return;
        continue;
      }
      if (!std::equal(kAsking.begin(), kAsking.end(), frame.begin())) continue;
      const auto now = Clock::now();
      if (!was_paused_.exchange(false)) {
        raise_to(longest_gap_ms_, Milliseconds(now - last).count());
      }
      last = now;
      std::uint64_t number = 0;
      std::memcpy(&number, &frame[kNumberAt], sizeof number);
      if (number >= kFramesMax || is_back_[number]) continue;
      is_back_[number] = true;
      ++back_;
      newest_ = std::max(newest_.load(), static_cast<std::int64_t>(number));
    }
  }

  Guest asking_;
  Guest answering_;
  std::chrono::duration<double> period_;
  std::atomic<bool> ending_ = false;
  std::atomic<bool> paused_ = false;
  std::atomic<bool> was_paused_ = false;
  std::atomic<std::uint64_t> sent_ = 0;
  std::atomic<std::uint64_t> back_ = 0;
  std::atomic<std::int64_t> newest_ = -1;
  std::atomic<double> longest_gap_ms_ = 0;
  std::atomic<double> longest_send_ms_ = 0;
  std::vector<bool> is_back_;  // by number; the hearing thread only
  std::vector<std::thread> threads_;
};

}  // namespace

int main(int count, char** words) {
  if (count != 3 || std::atof(words[2]) <= 0) {
    std::fputs("usage: soak_guests DIRECTORY RATE\n", stderr);
    return 2;
  }
  Guests guests(words[1], std::atof(words[2]));
  std::array<char, 64> line{};
  while (std::fgets(line.data(), static_cast<int>(line.size()), stdin) != nullptr) {
    guests.pause(std::strcmp(line.data(), "pause\n") == 0);
    guests.report();
  }
  guests.finish();
  guests.report();
  return 0;
}
