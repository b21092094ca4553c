// SPDX-License-Identifier: MIT
#include "switch/base/given_sockets.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <filesystem>

#include "switch/base/text.h"

namespace lanyard {
namespace {

int option_of(int fd, int option) {
  int value = -1;
  socklen_t size = sizeof value;
  return ::getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
}

// Empty: it has none.
std::string path_of(int fd) {
  sockaddr_un address{};
  socklen_t size = sizeof address;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return "";
  constexpr std::size_t kHead = offsetof(sockaddr_un, sun_path);
  if (size <= kHead || address.sun_path[0] == '\0') return "";
  const std::string_view name(address.sun_path, size - kHead);
  return std::string(name.substr(0, name.find('\0')));
}

// Of the socket itself nothing is resolved: its name may be gone.
std::string without_links(const std::string& path) {
  const std::filesystem::path given(path);
  std::error_code error;
  const std::filesystem::path directory = std::filesystem::weakly_canonical(
      std::filesystem::absolute(given, error).parent_path(), error);
  return error ? path : (directory / given.filename()).string();
}

}  // namespace

bool GivenSockets::add(UniqueFd socket) {
  const int fd = socket.get();
  if (option_of(fd, SO_DOMAIN) != AF_UNIX || option_of(fd, SO_TYPE) != SOCK_STREAM ||
      option_of(fd, SO_ACCEPTCONN) != 1) {
    return false;
  }
  const std::string path = path_of(fd);
  if (path.empty()) return false;
  ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
  sockets_.insert_or_assign(without_links(path), std::move(socket));
  return true;
}

UniqueFd GivenSockets::take(const std::string& path) {
  if (sockets_.empty()) return {};
  const auto found = sockets_.find(without_links(path));
  if (found == sockets_.end()) return {};
  UniqueFd taken = std::move(found->second);
  sockets_.erase(found);
  return taken;
}

void GivenSockets::close_rest(Log& log) {
  for (const auto& [path, socket] : sockets_) {
    log.warning(
        "the service manager has opened {}, but nothing that is configured listens there; clients "
        "that connect wait in vain",
        printable(path));
  }
  sockets_.clear();
}

std::vector<std::string> GivenSockets::paths() const {
  std::vector<std::string> all;
  for (const auto& [path, socket] : sockets_) all.push_back(path);
  return all;
}

}  // namespace lanyard
