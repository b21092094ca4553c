// SPDX-License-Identifier: MIT
#include "switch/daemon/service_manager.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "switch/base/descriptor_passing.h"
#include "switch/base/text.h"

namespace lanyard {
namespace {

constexpr int kFirstStored = 3;  // SD_LISTEN_FDS_START of sd_listen_fds(3)
constexpr std::int64_t kStoredMax = 1 << 16;
constexpr std::size_t kUnsaidMax = 1 << 16;

std::string take_variable(const char* name) {
  const char* const value = ::getenv(name);
  std::string text = value != nullptr ? value : "";
  ::unsetenv(name);
  return text;
}

// A value that is meant for this process: `pid` names it, or nothing does.
std::int64_t number_for_us(const std::string& text, const std::string& pid) {
  if (!pid.empty() && parse_integer(pid) != std::int64_t{::getpid()}) return 0;
  return std::max<std::int64_t>(0, parse_integer(text).value_or(0));
}

std::vector<ServiceManager::Stored> stored_descriptors(std::int64_t count, std::string_view names) {
  std::vector<ServiceManager::Stored> stored;
  for (int i = 0; i < std::min(count, kStoredMax); ++i) {
    const std::size_t end = std::min(names.find(':'), names.size());
    const int number = kFirstStored + i;
    if (::fcntl(number, F_SETFD, FD_CLOEXEC) == 0) {
      stored.push_back({std::string(names.substr(0, end)), UniqueFd(number)});
    }
    names.remove_prefix(std::min(end + 1, names.size()));
  }
  return stored;
}

}  // namespace

ServiceManager ServiceManager::from_environment() {
  ServiceManager manager;
  const std::string path = take_variable("NOTIFY_SOCKET");
  const std::string watchdog = take_variable("WATCHDOG_USEC");
  const std::string watchdog_pid = take_variable("WATCHDOG_PID");
  const std::string count = take_variable("LISTEN_FDS");
  const std::string count_pid = take_variable("LISTEN_PID");
  const std::string names = take_variable("LISTEN_FDNAMES");
  manager.stored_ = stored_descriptors(number_for_us(count, count_pid), names);
  if (path.size() < 2 || path.size() >= sizeof manager.address_.sun_path) return manager;
  if (path.front() != '/' && path.front() != '@') return manager;
  manager.address_.sun_family = AF_UNIX;
  std::memcpy(manager.address_.sun_path, path.data(), path.size());
  if (path.front() == '@') manager.address_.sun_path[0] = '\0';
  manager.address_size_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  manager.socket_.reset(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  // Twice as often as it is missed.
  manager.watchdog_period_ = std::chrono::microseconds(number_for_us(watchdog, watchdog_pid)) / 2;
  return manager;
}

void ServiceManager::store(std::string_view name, int descriptor) {
  // Not looked at for hang-up: a client that has left meanwhile is ours to notice.
  say(fmt::format("FDSTORE=1\nFDNAME={}\nFDPOLL=0", name), descriptor);
}

void ServiceManager::forget(std::string_view name) {
  say(fmt::format("FDSTOREREMOVE=1\nFDNAME={}", name));
}

void ServiceManager::say(std::string text, int descriptor) {
  if (!socket_) return;
  // Nobody has listened for long.
  if (unsaid_.size() >= kUnsaidMax) unsaid_.pop_front();
  UniqueFd copy(descriptor < 0 ? -1 : ::fcntl(descriptor, F_DUPFD_CLOEXEC, 0));
  unsaid_.push_back({std::move(text), std::move(copy)});
  flush();
}

bool ServiceManager::flush() {
  while (!unsaid_.empty() && send(unsaid_.front())) unsaid_.pop_front();
  return unsaid_.empty();
}

// False when there is no room for it now.
bool ServiceManager::send(const Word& word) const {
  iovec content{const_cast<char*>(word.text.data()), word.text.size()};
  PassedDescriptor passed;
  msghdr header{};
  header.msg_name = const_cast<sockaddr_un*>(&address_);
  header.msg_namelen = address_size_;
  header.msg_iov = &content;
  header.msg_iovlen = 1;
  passed.attach(header, word.descriptor.get());
  return ::sendmsg(socket_.get(), &header, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 || errno != EAGAIN;
}

}  // namespace lanyard
