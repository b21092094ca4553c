// SPDX-License-Identifier: MIT
#include "switch/daemon/daemon_log.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <ctime>

#include "switch/base/poll_one.h"
#include "switch/base/write_bytes.h"

namespace lanyard {
namespace {

int syslog_priority(LogLevel level) {
  switch (level) {
    case LogLevel::error: return LOG_ERR;
    case LogLevel::warning: return LOG_WARNING;
    case LogLevel::notice: return LOG_NOTICE;
    case LogLevel::info: return LOG_INFO;
    case LogLevel::debug: return LOG_DEBUG;
  }
  return LOG_NOTICE;
}

UniqueFd connect_syslog() {
  UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, "/dev/log");  // syslog(3)'s own address; fits
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    fd.reset();
  }
  return fd;
}

}  // namespace

void DaemonLog::use_syslog() {
  syslog_ = true;
  socket_ = connect_syslog();
}

void DaemonLog::write(LogLevel level, std::string_view line) {
  if (lost_ != 0) {
    const std::string told = fmt::format("{} log lines were lost: nobody read them", lost_);
    if (syslog_ ? write_syslog(LogLevel::warning, told) : write_stderr(told)) lost_ = 0;
  }
  const bool written = syslog_ ? write_syslog(level, line) : write_stderr(line);
  if (!written) ++lost_;
}

bool DaemonLog::write_stderr(std::string_view line) const {
  if ((poll_one(STDERR_FILENO, POLLOUT, Duration{0}) & POLLOUT) == 0) return false;
  // A pipe that polls writable takes PIPE_BUF bytes without blocking (pipe(7)).
  std::string text = fmt::format("{}: {}", program_, line);
  text.resize(std::min<std::size_t>(text.size(), PIPE_BUF - 1));
  text += '\n';
  return write_bytes(STDERR_FILENO, text.data(), text.size()) >= 0;
}

bool DaemonLog::write_syslog(LogLevel level, std::string_view line) {
  if (!socket_) socket_ = connect_syslog();
  if (!socket_) return false;
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  ::localtime_r(&now, &local);
  std::array<char, 32> stamp{};
  std::strftime(stamp.data(), stamp.size(), "%b %e %H:%M:%S", &local);
  // RFC 3164 as syslog(3) writes it.
  const std::string text = fmt::format("<{}>{} {}[{}]: {}", LOG_DAEMON | syslog_priority(level),
                                       stamp.data(), program_, ::getpid(), line);
  if (::send(socket_.get(), text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) {
    return true;
  }
  // The system logger was restarted: its socket is a new one.
  if (errno == ECONNREFUSED || errno == ENOTCONN || errno == ECONNRESET) socket_.reset();
  return false;
}

}  // namespace lanyard
