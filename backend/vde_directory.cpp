// SPDX-License-Identifier: MIT
#include "backend/vde_directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <vector>

#include "switch/base/text.h"

namespace lanyard {
namespace {

constexpr int kBacklog = 1024;

bool all_digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(),
                                      [](unsigned char c) { return std::isdigit(c) != 0; });
}

// Names that a switch (PORT.DESCRIPTOR) or a client library (.PID-COUNTER) gives data sockets.
bool is_data_socket_name(std::string_view name) {
  const bool client = name.starts_with('.');
  if (client) name.remove_prefix(1);
  const std::size_t separator = name.find(client ? '-' : '.');
  return separator != std::string_view::npos && all_digits(name.substr(0, separator)) &&
         all_digits(name.substr(separator + 1));
}

// Without links, and short enough to be part of socket names.
Result<std::string> canonical_path(const std::string& path) {
  const std::unique_ptr<char, decltype(&std::free)> real(::realpath(path.c_str(), nullptr),
                                                         &std::free);
  struct stat info {};
  if (real == nullptr || ::stat(real.get(), &info) != 0) {
    return Error{ELOOP, fmt::format("Cannot resolve ctl dir path '{}'", path)};
  }
  if (!S_ISDIR(info.st_mode)) {
    return Error{ENOTDIR,
                 fmt::format("Cannot create ctl directory '{}': {}", path, std::strerror(ENOTDIR))};
  }
  std::string canonical = real.get();
  if (canonical.size() > VdeDirectory::kPathMax) {
    return Error{ENAMETOOLONG,
                 fmt::format("The name of the ctl directory '{}' has {} bytes; socket names limit "
                             "it to {}. Choose a shorter one",
                             canonical, canonical.size(), VdeDirectory::kPathMax)};
  }
  return canonical;
}

}  // namespace

Result<std::shared_ptr<VdeDirectory>> VdeDirectory::open(Settings settings, Log& log) {
  const bool created = ::mkdir(settings.path.c_str(), 0700) == 0;
  if (!created && errno != EEXIST) {
    return Error{errno, fmt::format("Cannot create ctl directory '{}': {}", settings.path,
                                    std::strerror(errno))};
  }
  Result<std::string> path = canonical_path(settings.path);
  if (!path) {
    if (created) ::rmdir(settings.path.c_str());
    return path.error();
  }
  settings.path = path.take();
  std::shared_ptr<VdeDirectory> directory(new VdeDirectory(std::move(settings), log));
  if (Result<void> claimed = directory->take_claim(); !claimed) return claimed.error();
  directory->ours_ = created;
  return directory;
}

std::shared_ptr<VdeDirectory> VdeDirectory::adopt(Settings settings, UniqueFd claim, Time since,
                                                  Log& log) {
  std::shared_ptr<VdeDirectory> directory(new VdeDirectory(std::move(settings), log));
  directory->claim_ = std::move(claim);
  directory->since_ = since;
  directory->ours_ = true;
  return directory;
}

// The socket alone does not decide who has the directory: between another switch's bind and listen
// its socket looks like one that nobody serves. So there is a lock, too; but others who may read
// the directory can lock it as well, so a lock without a socket that answers is waited for and no
// more.
Result<void> VdeDirectory::take_claim() {
  constexpr int kTries = 30;
  constexpr timespec kPause{0, 10'000'000};
  claim_.reset(::open(settings_.path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (int tries = 0; claim_ && tries < kTries; ++tries) {
    if (::flock(claim_.get(), LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return {};
    if (socket_answers(settings_.path + "/ctl", SOCK_STREAM)) {
      return Error{EADDRINUSE, fmt::format("Could not bind to socket '{}/ctl': {}", settings_.path,
                                           std::strerror(EADDRINUSE))};
    }
    ::nanosleep(&kPause, nullptr);
  }
  return {};
}

VdeDirectory::~VdeDirectory() {
  if (!ours_) return;
  remove_dead_sockets();
  if (!stays_ && ::rmdir(settings_.path.c_str()) != 0 && errno != ENOENT) {
    log_.warning("Could not remove ctl dir '{}': {}", settings_.path, std::strerror(errno));
  }
}

Result<UniqueFd> VdeDirectory::listen(const std::string& name, UniqueFd given) {
  if (given) {
    ours_ = true;
    stays_ = true;
    remove_dead_sockets();
    return given;
  }
  const std::string path = settings_.path + "/" + name;
  Result<UniqueFd> fd =
      listen_unix(path, {settings_.socket_mode, kNoUser, settings_.group}, kBacklog);
  if (!fd) {
    return Error{fd.error().code, fmt::format("Could not bind to socket '{}': {}", path,
                                              std::strerror(fd.error().code))};
  }
  ours_ = true;
  // Only now is the directory known to be ours: a second switch must not change the first one's.
  if (settings_.group != kNoGroup &&
      ::chown(settings_.path.c_str(), kNoUser, settings_.group) != 0) {
    log_.warning("cannot set the group of '{}': {}", settings_.path, std::strerror(errno));
  }
  if (::chmod(settings_.path.c_str(), settings_.directory_mode) != 0) {
    log_.warning("cannot set the mode of '{}': {}", settings_.path, std::strerror(errno));
  }
  remove_dead_sockets();
  return fd;
}

void VdeDirectory::remove_listener(const std::string& name, int listening_fd) {
  const std::string path = settings_.path + "/" + name;
  // A name that another switch has taken over meanwhile answers after ours is closed.
  ::shutdown(listening_fd, SHUT_RDWR);
  ::close(listening_fd);
  if (socket_answers(path, SOCK_STREAM)) {
    log_.notice("Cleanup not removing files: another switch uses '{}'", path);
    return;
  }
  unlink_socket(path);
}

Result<std::string> VdeDirectory::bind_data(int data_fd, PortId port, const Identity& client,
                                            bool management) {
  std::string path = fmt::format("{}/{:03}.{}", settings_.path, port, data_fd);
  SocketAccess access{settings_.socket_mode, kNoUser, settings_.group};
  if (::geteuid() == 0 && client.uid != kNoUser) {
    // The client owns its socket, so that it can open it to others as its options say.
    access.mode &= 0700;
    access.owner = client.uid;
  }
  if (management) {
    access.mode = settings_.management_mode;
    if (settings_.management_group != kNoGroup) access.group = settings_.management_group;
  }
  // A descriptor number is unique while it is open, so what has this name is a leftover.
  unlink_socket(path);
  if (Result<void> bound = bind_unix(data_fd, path, access); !bound) return bound.error();
  return path;
}

void VdeDirectory::remove_dead_sockets() const {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(settings_.path.c_str()),
                                                      &::closedir);
  if (directory == nullptr) return;
  std::vector<std::string> dead;
  while (const dirent* const entry = ::readdir(directory.get())) {
    const std::string path = settings_.path + "/" + entry->d_name;
    if (is_data_socket_name(entry->d_name) && !socket_answers(path, SOCK_DGRAM)) {
      dead.push_back(path);
    }
  }
  for (const std::string& path : dead) unlink_socket(path);
}

}  // namespace lanyard
