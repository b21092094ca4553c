// SPDX-License-Identifier: MIT
#include "switch/base/unix_socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "switch/base/text.h"

namespace lanyard {
namespace {

// The path must be at most kSocketPathMax long.
sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

// unlink(2) and rmdir(2) are not on every machine, and this is both.
void unlink_name(const std::string& path) {
  ::unlinkat(AT_FDCWD, path.c_str(), 0);
}

Error failed(const char* what, const std::string& path, int code) {
  return {code, fmt::format("{} {}: {}", what, path, std::strerror(code))};
}

}  // namespace

bool socket_answers(const std::string& path, int socket_type) {
  if (path.size() > kSocketPathMax) return false;
  const UniqueFd probe(::socket(AF_UNIX, socket_type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const sockaddr_un address = address_of(path);
  if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    return true;
  }
  // A full backlog is somebody alive, too, and so is somebody we may not talk to.
  return errno == EAGAIN || errno == EACCES || errno == EPERM;
}

void unlink_socket(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) == 0 && S_ISSOCK(info.st_mode)) unlink_name(path);
}

Result<void> bind_unix(int fd, const std::string& path, const SocketAccess& access) {
  if (path.size() > kSocketPathMax) {
    return Error{ENAMETOOLONG,
                 fmt::format("{}: a socket name can have {} bytes at most", path, kSocketPathMax)};
  }
  // On Linux a socket's name may be used by all, less the umask (unix(7)).
  const sockaddr_un address = address_of(path);
  const mode_t umask_before = ::umask(0777 & ~access.mode);
  const int bound = ::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int code = errno;
  ::umask(umask_before);
  if (bound != 0) return failed("bind", path, code);
  if ((access.owner != kNoUser || access.group != kNoGroup) &&
      ::fchownat(AT_FDCWD, path.c_str(), access.owner, access.group, AT_SYMLINK_NOFOLLOW) != 0) {
    const Error error = failed("cannot set owner and group of", path, errno);
    unlink_name(path);
    return error;
  }
  return {};
}

Result<UniqueFd> listen_unix(const std::string& path, const SocketAccess& access, int backlog) {
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return failed("socket for", path, errno);
  Result<void> bound = bind_unix(fd.get(), path, access);
  if (!bound && bound.error().code == EADDRINUSE && !socket_answers(path, SOCK_STREAM)) {
    unlink_socket(path);
    bound = bind_unix(fd.get(), path, access);
  }
  if (!bound) return bound.error();
  if (::listen(fd.get(), backlog) != 0) {
    const Error error = failed("listen", path, errno);
    unlink_name(path);
    return error;
  }
  return fd;
}

Identity peer_identity(int connected_fd) {
  Identity who;
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(connected_fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return who;
  who.uid = credentials.uid;
  who.gid = credentials.gid;
  who.pid = credentials.pid;
  size = 0;
  if (::getsockopt(connected_fd, SOL_SOCKET, SO_PEERGROUPS, nullptr, &size) != 0 &&
      errno == ERANGE) {
    who.groups.resize(size / sizeof(gid_t));
    if (::getsockopt(connected_fd, SOL_SOCKET, SO_PEERGROUPS, who.groups.data(), &size) != 0) {
      who.groups.clear();
    }
  }
  return who;
}

}  // namespace lanyard
