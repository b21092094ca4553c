// SPDX-License-Identifier: MIT
//
// Network namespaces for tests in C++: the test's own, and others as peers. They end with their
// processes, whatever happens.
#pragma once

#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <string>

#include "switch/base/text.h"

namespace lanyard::testing {

struct Ran {
  int status = -1;
  std::string output;  // both
};

inline Ran run(const std::string& command) {
  Ran ran;
  FILE* const pipe = ::popen(("{ " + command + "\n} 2>&1").c_str(), "r");
  if (pipe == nullptr) return ran;
  std::array<char, 4096> part;
  std::size_t count = 0;
  while ((count = ::fread(part.data(), 1, part.size(), pipe)) > 0) {
    ran.output.append(part.data(), count);
  }
  const int status = ::pclose(pipe);
  ran.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return ran;
}

inline void must(const std::string& command) {
  const Ran ran = run(command);
  ASSERT_EQ(ran.status, 0) << command << "\n" << ran.output;
}

// Why a test that needs its own network namespace cannot run; empty when it has one now.
inline std::string enter_own_namespace() {
  if (::geteuid() != 0) return "needs root for a network namespace";
  if (::unshare(CLONE_NEWNET) != 0) return "network namespaces are not allowed here";
  if (run("ip link set lo up").status != 0) return "needs ip (iproute2)";
  return {};
}

// Another namespace, joined to the test's by a pair of veth interfaces.
class Peer {
 public:
  // `ours` is the name at our end, "eth0" that at the peer's.
  explicit Peer(const std::string& ours) {
    std::array<int, 2> ready{};
    if (::pipe(ready.data()) != 0) return;
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      const char done = ::unshare(CLONE_NEWNET) == 0 ? 'y' : 'n';
      if (::write(ready[1], &done, 1) != 1) ::_exit(1);
      for (;;) ::pause();
    }
    char done = 'n';
    if (::read(ready[0], &done, 1) != 1) done = 'n';
    ::close(ready[0]);
    ::close(ready[1]);
    EXPECT_EQ(done, 'y');
    must(fmt::format("ip link add {} type veth peer name eth0 netns {}", ours, pid_));
    must(fmt::format("ip link set {} up", ours));
    must(in("ip link set lo up"));
    must(in("ip link set eth0 up"));
  }
  ~Peer() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  // A command line that runs there.
  std::string in(const std::string& command) const {
    return fmt::format("nsenter -t {} -n {}", pid_, command);
  }

 private:
  pid_t pid_ = -1;
};

// Does `work` in a process that is killed right after it, as by a crash; what shall not be undone
// has to outlive it. Whether it returned true.
template <typename Work>
bool then_killed(Work work) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (work()) ::raise(SIGKILL);
    ::_exit(1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

}  // namespace lanyard::testing
