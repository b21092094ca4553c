// SPDX-License-Identifier: MIT
#include "switch/base/sandbox.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <future>
#include <thread>

#include "switch/base/sandbox_probe.h"
#include "switch/base/text.h"
#include "switch/base/write_bytes.h"
#include "tests/support/boxed_child.h"
#include "tests/support/temporary_directory.h"

namespace lanyard {
namespace {

namespace fs = std::filesystem;

class Sandbox : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!testing::kSandboxCanBeTested) GTEST_SKIP() << "a sanitizer makes calls of its own";
  }
};

// What a child needs to say what it saw.
SandboxPolicy small_policy() {
  SandboxPolicy policy;
  for (const char* const name :
       {"writev", "read", "close", "brk", "munmap", "futex", "exit_group", "openat", "open",
        "lseek", "newfstatat", "fstat", "unlink", "getpid", "getppid", "rename"}) {
    policy.calls.push_back({name});
  }
  policy.calls.push_back({"mmap", {{2, 0, 4}}});  // not PROT_EXEC
  policy.calls.push_back({"socket", {{0, AF_UNIX}}});
  policy.limits = {{RLIMIT_CORE, 0}};
  return policy;
}

std::string code_text(bool done) {
  return done ? "done" : std::strerror(errno);
}

std::string open_for_writing(const fs::path& path) {
  return code_text(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600) >= 0);
}

// The value of a line of /proc/self/status, which stays readable.
std::string status_line(std::string_view key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(key)) return std::string(trim(line.substr(key.size() + 1)));
  }
  return "no such line";
}

TEST(SandboxMode, IsOneOfFourWords) {
  for (const char* const word : {"off", "log", "errno", "kill"}) {
    const auto mode = parse_sandbox_mode(word);
    ASSERT_TRUE(mode) << word;
    EXPECT_EQ(text_of(*mode), word);
  }
  EXPECT_FALSE(parse_sandbox_mode("on"));
  EXPECT_FALSE(parse_sandbox_mode(""));
}

TEST(SandboxMode, OfTheEnvironmentIsCheckedToo) {
  ::setenv("LANYARD_SANDBOX", "never", 1);
  const auto wrong = sandbox_mode_from_environment(SandboxMode::kill);
  ::setenv("LANYARD_SANDBOX", "log", 1);
  const auto right = sandbox_mode_from_environment(SandboxMode::kill);
  ::unsetenv("LANYARD_SANDBOX");
  const auto none = sandbox_mode_from_environment(SandboxMode::kill);
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().text, "LANYARD_SANDBOX=never: give off, log, errno or kill");
  ASSERT_TRUE(right);
  EXPECT_EQ(right.value(), SandboxMode::log);
  ASSERT_TRUE(none);
  EXPECT_EQ(none.value(), SandboxMode::kill);
}

TEST_F(Sandbox, RefusesWhatAnIntruderWouldTry) {
  const testing::ChildEnd end = testing::in_child([] {
    const auto report = enter_sandbox(small_policy(), SandboxMode::refuse);
    if (!report) return report.error().text;
    const auto outcomes = probe_sandbox(ProbeNetwork::none);
    return all_refused(outcomes) ? std::string("all refused") : probe_text(outcomes);
  });
  EXPECT_TRUE(end.exited());
  EXPECT_EQ(end.said, "all refused");
}

TEST_F(Sandbox, RefusesNothingWhenItIsOffOrOnlyLogs) {
  for (const SandboxMode mode : {SandboxMode::off, SandboxMode::log}) {
    const testing::ChildEnd end = testing::in_child([&] {
      if (const auto report = enter_sandbox(small_policy(), mode); !report) {
        return report.error().text;
      }
      return code_text(::socket(AF_INET, SOCK_STREAM, 0) >= 0);
    });
    EXPECT_EQ(end.said, "done") << text_of(mode);
  }
}

TEST_F(Sandbox, LooksAtArguments) {
  const testing::ChildEnd end = testing::in_child([] {
    if (!enter_sandbox(small_policy(), SandboxMode::refuse)) return std::string("no sandbox");
    const std::string allowed = code_text(::socket(AF_UNIX, SOCK_STREAM, 0) >= 0);
    return allowed + ", " + code_text(::socket(AF_INET, SOCK_STREAM, 0) >= 0);
  });
  EXPECT_EQ(end.said, "done, Operation not permitted");
}

TEST_F(Sandbox, KillsWhenItShall) {
  const testing::ChildEnd end = testing::in_child([] {
    if (!enter_sandbox(small_policy(), SandboxMode::kill)) return std::string("no sandbox");
    return code_text(::socket(AF_INET, SOCK_STREAM, 0) >= 0);
  });
  EXPECT_EQ(end.signal(), SIGSYS) << end.said;
}

TEST_F(Sandbox, HoldsThreadsThatWereThereBefore) {
  const testing::ChildEnd end = testing::in_child([] {
    std::array<int, 2> go{};
    if (::pipe(go.data()) != 0) return std::string("no pipe");
    std::string seen = "nothing";
    std::promise<void> runs;
    std::thread other([&] {
      char word = 0;
      runs.set_value();
      if (::read(go[0], &word, 1) == 1) seen = code_text(::socket(AF_INET, SOCK_STREAM, 0) >= 0);
    });
    runs.get_future().wait();
    SandboxPolicy policy = small_policy();
    for (const char* const name : {"exit", "madvise", "mprotect", "rt_sigprocmask"}) {
      policy.calls.push_back({name});
    }
    const bool entered = enter_sandbox(policy, SandboxMode::refuse).ok();
    if (write_bytes(go[1], "x", 1) != 1) return std::string("no word");
    other.join();
    return entered ? seen : "no sandbox";
  });
  EXPECT_EQ(end.said, "Operation not permitted") << end.status;
}

TEST_F(Sandbox, LeavesNoCapabilityAndNoNewPrivileges) {
  const testing::ChildEnd end = testing::in_child([] {
    if (!enter_sandbox(small_policy(), SandboxMode::log)) return std::string("no sandbox");
    return fmt::format("{} {} {} {}", status_line("CapEff"), status_line("CapPrm"),
                       status_line("NoNewPrivs"), status_line("Seccomp"));
  });
  EXPECT_EQ(end.said, "0000000000000000 0000000000000000 1 2");
}

TEST_F(Sandbox, KeepsTheCapabilityThatIsNeededIfItWasThere) {
  const bool root = ::geteuid() == 0;
  const testing::ChildEnd end = testing::in_child([] {
    SandboxPolicy policy = small_policy();
    policy.capabilities = std::uint64_t{1} << CAP_NET_BIND_SERVICE;
    if (!enter_sandbox(policy, SandboxMode::log)) return std::string("no sandbox");
    return status_line("CapEff");
  });
  EXPECT_EQ(end.said, root ? "0000000000000400" : "0000000000000000");
}

TEST_F(Sandbox, OpensFilesOnlyWhereItMay) {
  const testing::TemporaryDirectory directory;
  const fs::path open_to_it = directory / "open";
  const fs::path read_only = directory / "read";
  const fs::path closed = directory / "closed";
  for (const fs::path& path : {open_to_it, read_only, closed}) {
    fs::create_directory(path);
    std::ofstream(path / "file") << "x";
  }
  const testing::ChildEnd end = testing::in_child([&] {
    SandboxPolicy policy = small_policy();
    policy.paths = {{open_to_it.string(), true, true}, {read_only.string()}, {"/nowhere/at/all"}};
    const auto report = enter_sandbox(policy, SandboxMode::refuse);
    if (!report || report.value().landlock == 0) return std::string("no Landlock");
    const auto read = [](const fs::path& path) {
      return code_text(::open(path.c_str(), O_RDONLY | O_CLOEXEC) >= 0);
    };
    std::string said = open_for_writing(open_to_it / "new");
    for (const fs::path& path : {read_only, closed}) said += ", " + open_for_writing(path / "new");
    for (const fs::path& path : {read_only, closed}) said += ", " + read(path / "file");
    return said + ", " +
           code_text(::rename((open_to_it / "new").c_str(), (open_to_it / "file").c_str()) == 0);
  });
  if (end.said == "no Landlock") GTEST_SKIP() << "this kernel has no Landlock";
  EXPECT_EQ(end.said, "done, Permission denied, Permission denied, done, Permission denied, done");
}

TEST_F(Sandbox, PassesOverCallsThatThisMachineHasNotGot) {
  const testing::ChildEnd end = testing::in_child([] {
    SandboxPolicy policy = small_policy();
    policy.calls.push_back({"no_such_call"});
    const auto report = enter_sandbox(policy, SandboxMode::refuse);
    return report ? std::string("entered") : report.error().text;
  });
  EXPECT_EQ(end.said, "entered");
}

TEST_F(Sandbox, SaysWhatIsInForce) {
  const testing::ChildEnd end = testing::in_child([] {
    const auto report = enter_sandbox(small_policy(), SandboxMode::refuse);
    return report ? report.value().text() : report.error().text;
  });
  EXPECT_TRUE(end.said.starts_with(
      "sandbox: no new privileges, not dumpable, 18 system calls, others are refused"))
      << end.said;
  EXPECT_EQ(SandboxReport{}.text(), "sandbox: off");
}

}  // namespace
}  // namespace lanyard
