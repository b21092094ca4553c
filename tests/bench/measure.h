// SPDX-License-Identifier: MIT
//
// Counting and timing across the processes of one measurement.

#pragma once

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <atomic>
#include <ctime>
#include <fstream>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "vde_client.h"

namespace lanyard::bench {

inline constexpr int kReceiversMax = 256;

// What the processes of one run share. One cache line for each writer.
struct alignas(64) ReceiverCounts {
  std::atomic<std::uint64_t> frames;
  std::atomic<std::uint64_t> calls;
  std::atomic<std::uint64_t> reordered;
  std::atomic<std::uint64_t> bad;
};
struct Shared {
  alignas(64) std::atomic<bool> stop;
  std::atomic<bool> sender_failed;
  alignas(64) std::atomic<std::uint64_t> sent;
  ReceiverCounts receivers[kReceiversMax];
};

template <typename T>
void bump(std::atomic<T>& counter, T by) {  // the only writer needs no locked instruction
  counter.store(counter.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
}

inline Shared& make_shared_counts() {
  void* memory =
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) fail("mmap");
  return *new (memory) Shared{};
}

inline double cpu_seconds(pid_t pid) {
  clockid_t clock;
  timespec now;
  if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &now) != 0) return 0;
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// How long a process could have run but no CPU was free for it.
inline double waiting_seconds(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/schedstat");
  double ran = 0;
  double waited = 0;
  file >> ran >> waited;
  return waited * 1e-9;
}

// The switch and the children it may have: the least loop is two processes, a supervised switch is
// too.
class SwitchCpu {
 public:
  explicit SwitchCpu(pid_t pid) {
    if (pid == 0) return;
    pids_.push_back(pid);
    std::ifstream children("/proc/" + std::to_string(pid) + "/task/" + std::to_string(pid) +
                           "/children");
    for (pid_t child; children >> child;) pids_.push_back(child);
  }
  double seconds() const {
    double sum = 0;
    for (const pid_t pid : pids_) sum += cpu_seconds(pid);
    return sum;
  }
  double waiting() const {
    double sum = 0;
    for (const pid_t pid : pids_) sum += waiting_seconds(pid);
    return sum;
  }
  // How often it slept: a switch that sleeps less per frame works in larger batches.
  double sleeps() const {
    double sum = 0;
    for (const pid_t pid : pids_) {
      std::ifstream status("/proc/" + std::to_string(pid) + "/status");
      for (std::string word; status >> word;) {
        if (double count; word == "voluntary_ctxt_switches:" && status >> count) sum += count;
      }
    }
    return sum;
  }

 private:
  std::vector<pid_t> pids_;
};

// A client's process. Killed with its parent, and by the destructor at the latest.
class Child {
 public:
  explicit Child(const std::function<void()>& body) : pid_(fork()) {
    if (pid_ < 0) fail("fork");
    if (pid_ != 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int status = 0;
    try {
      body();
    } catch (const std::exception& error) {
      std::fprintf(stderr, "bench_vde_load: %s\n", error.what());
      status = 1;
    }
    _exit(status);
  }
  Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, 0)) {}
  ~Child() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  double cpu() const { return cpu_seconds(pid_); }
  double waiting() const { return waiting_seconds(pid_); }

 private:
  pid_t pid_;
};

class Json {
 public:
  void add(const char* name, double value) {
    char text[64];
    std::snprintf(text, sizeof text, "%s\"%s\": %.10g", text_.empty() ? "" : ", ", name, value);
    text_ += text;
  }
  void print() const { std::printf("{%s}\n", text_.c_str()); }

 private:
  std::string text_;
};

}  // namespace lanyard::bench
