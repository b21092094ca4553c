// SPDX-License-Identifier: MIT
#include "switch/control/plugin_probe.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string>

#include "switch/base/fd.h"
#include "switch/base/text.h"

namespace lanyard {
namespace {

constexpr std::size_t kAnswerMax = 2048;

// Whatever the attempt writes, sets or closes is not ours: every descriptor but the answer's leads
// nowhere.
void part_with_descriptors(int answer) {
  const int nowhere = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  DIR* const listing = ::opendir("/proc/self/fd");
  if (listing == nullptr || nowhere < 0) ::_exit(1);
  const int own = ::dirfd(listing);
  while (const dirent* const entry = ::readdir(listing)) {
    const std::optional<std::int64_t> fd = parse_integer(entry->d_name);
    if (!fd || *fd == answer || *fd == own || *fd == nowhere) continue;
    ::dup2(nowhere, static_cast<int>(*fd));
  }
  ::closedir(listing);
}

// Error code, a blank, text; "0 " when all is well.
[[noreturn]] void attempt_and_exit(int answer, const std::function<Result<void>()>& attempt) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const rlimit no_core{};
  ::setrlimit(RLIMIT_CORE, &no_core);
  for (const int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) ::signal(number, SIG_DFL);
  part_with_descriptors(answer);
  std::string text = "0 ";
  if (const Result<void> result = attempt(); !result) {
    text = fmt::format("{} {}", result.error().code, result.error().text).substr(0, kAnswerMax);
  }
  if (::write(answer, text.data(), text.size()) < 0) ::_exit(1);
  ::_exit(0);
}

// What came until the child closed its end; nullopt after the time-out.
std::optional<std::string> read_answer(int fd, Duration timeout) {
  std::string text;
  const Time end = monotonic_now() + timeout;
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - monotonic_now()).count();
    pollfd ready{fd, POLLIN, 0};
    const int polled = left <= 0 ? 0 : ::poll(&ready, 1, static_cast<int>(left));
    if (polled < 0 && errno == EINTR) continue;
    if (polled <= 0) return std::nullopt;
    std::array<char, kAnswerMax> chunk{};
    const ssize_t count = ::read(fd, chunk.data(), chunk.size());
    if (count <= 0) return text;
    text.append(chunk.data(), static_cast<std::size_t>(count));
    // All is said; what it leaves running does not keep us.
    if (text.find(' ') != std::string::npos) return text;
  }
}

}  // namespace

Result<void> probe(std::string_view what, const std::function<Result<void>()>& attempt,
                   Duration timeout) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    return Error{errno, fmt::format("{}: cannot try it: {}", what, std::strerror(errno))};
  }
  const UniqueFd ours(ends[0]);
  UniqueFd theirs(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) {
    return Error{errno, fmt::format("{}: cannot try it: {}", what, std::strerror(errno))};
  }
  if (child == 0) attempt_and_exit(theirs.get(), attempt);
  theirs.reset();
  const std::optional<std::string> answer = read_answer(ours.get(), timeout);
  // A child that answered is about to exit; one that did not will not come to.
  if (!answer) ::kill(child, SIGKILL);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!answer) {
    return Error{ETIMEDOUT,
                 fmt::format("{} is refused: tried in a child process, it did not come to an end "
                             "within {} s",
                             what, std::chrono::duration<double>(timeout).count())};
  }
  const std::size_t blank = answer->find(' ');
  const std::optional<std::int64_t> code = parse_integer(answer->substr(0, blank));
  if (blank == std::string::npos || !code) {
    const std::string how =
        WIFSIGNALED(status) ? fmt::format("it died of signal {} ({})", WTERMSIG(status),
                                          ::strsignal(WTERMSIG(status)))
                            : fmt::format("it ended the process with code {}", WEXITSTATUS(status));
    return Error{EFAULT, fmt::format("{} is refused: tried in a child process, {}", what, how)};
  }
  if (*code == 0) return {};
  return Error{static_cast<int>(*code), answer->substr(blank + 1)};
}

}  // namespace lanyard
