// SPDX-License-Identifier: MIT
#include "switch/daemon/background.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "switch/base/text.h"

namespace lanyard {
namespace {

constexpr int kAbnormalExit = 255;

// The parent's part: one byte means ready; the end of the pipe means the child is ending.
[[noreturn]] void wait_for_child(int report, pid_t child) {
  char byte = 0;
  ssize_t count = 0;
  do {
    count = ::read(report, &byte, 1);
  } while (count < 0 && errno == EINTR);
  if (count == 1) ::_exit(0);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : kAbnormalExit);
}

// The process number a file holds; 0 when it holds none.
pid_t read_pid(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  std::array<char, 32> text{};
  const ssize_t count = fd ? ::read(fd.get(), text.data(), text.size()) : -1;
  if (count <= 0) return 0;
  std::string_view number(text.data(), static_cast<std::size_t>(count));
  number = number.substr(0, number.find('\n'));
  return static_cast<pid_t>(parse_integer(trim(number)).value_or(0));
}

bool is_alive(pid_t pid) {
  return pid > 0 && (::kill(pid, 0) == 0 || errno == EPERM);
}

}  // namespace

Result<Background> Background::enter() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    return Error{errno, fmt::format("pipe: {}", std::strerror(errno))};
  }
  UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) return Error{errno, fmt::format("fork: {}", std::strerror(errno))};
  if (child > 0) {
    write_end.reset();
    wait_for_child(read_end.get(), child);
  }
  ::setsid();
  return Background(std::move(write_end));
}

void Background::detach_output() {
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(null.get(), fd);
}

void Background::ready() {
  detach_output();
  const char byte = 1;
  // The parent reads it or is dead; either way there is nothing more to do.
  [[maybe_unused]] const ssize_t written = ::write(report_.get(), &byte, 1);
  report_.reset();
}

Result<PidFile> PidFile::create(const std::string& path, pid_t pid) {
  constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
  UniqueFd fd(::open(path.c_str(), kFlags, 0644));
  if (!fd && errno == EEXIST && !is_alive(read_pid(path))) {
    ::unlink(path.c_str());
    fd.reset(::open(path.c_str(), kFlags, 0644));
  }
  if (!fd) {
    return Error{errno,
                 fmt::format("Error in pidfile creation: {} ('{}')", std::strerror(errno), path)};
  }
  const std::string text = fmt::format("{}\n", pid);
  if (::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    const int code = errno;
    ::unlink(path.c_str());
    return Error{code,
                 fmt::format("Error in pidfile creation: {} ('{}')", std::strerror(code), path)};
  }
  // Absolute, should the working directory change.
  const std::unique_ptr<char, decltype(&std::free)> real(::realpath(path.c_str(), nullptr),
                                                         &std::free);
  return PidFile(real != nullptr ? real.get() : path, pid);
}

PidFile PidFile::adopt(std::string path, pid_t pid) {
  if (read_pid(path) != pid) {
    const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOFOLLOW));
    const std::string text = fmt::format("{}\n", pid);
    [[maybe_unused]] const ssize_t written = ::write(fd.get(), text.data(), text.size());
  }
  return {std::move(path), pid};
}

PidFile::~PidFile() {
  if (path_.empty() || read_pid(path_) != pid_) return;
  ::unlinkat(AT_FDCWD, path_.c_str(), 0);  // as names of sockets, for which a sandbox has it
}

}  // namespace lanyard
