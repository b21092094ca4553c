// SPDX-License-Identifier: MIT
#include "switch/base/socket_directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
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
  if (canonical.size() > kSocketDirectoryMax) {
    return Error{ENAMETOOLONG,
                 fmt::format("The name of the ctl directory '{}' has {} bytes; socket names limit "
                             "it to {}. Choose a shorter one",
                             canonical, canonical.size(), kSocketDirectoryMax)};
  }
  return canonical;
}

// The socket alone does not decide who has the directory: between another switch's bind and listen
// its socket looks like one that nobody serves. So there is a lock, too; but others who may read
// the directory can lock it as well, so a lock without a socket that answers is waited for and no
// more.
Result<UniqueFd> lock_directory(const std::string& path) {
  constexpr int kTries = 30;
  constexpr timespec kPause{0, 10'000'000};
  UniqueFd claim(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (int tries = 0; claim && tries < kTries; ++tries) {
    if (::flock(claim.get(), LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) break;
    if (socket_answers(path + "/ctl", SOCK_STREAM)) {
      return Error{EADDRINUSE, fmt::format("Could not bind to socket '{}/ctl': {}", path,
                                           std::strerror(EADDRINUSE))};
    }
    ::nanosleep(&kPause, nullptr);
  }
  return claim;
}

// By the one call that a list of allowed ones needs for it: opendir(3) asks for more.
std::vector<std::string> names_in(const std::string& path) {
  std::vector<std::string> names;
  const UniqueFd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  alignas(dirent64) std::array<char, 32768> entries;
  ssize_t size = 0;
  while (directory && (size = ::getdents64(directory.get(), entries.data(), entries.size())) > 0) {
    for (std::size_t at = 0; at < static_cast<std::size_t>(size);) {
      const auto* const entry = reinterpret_cast<const dirent64*>(&entries[at]);
      names.emplace_back(entry->d_name);
      at += entry->d_reclen;
    }
  }
  return names;
}

}  // namespace

Result<ClaimedDirectory> OwnSocketDirectories::claim_directory(const std::string& path) {
  const bool created = ::mkdir(path.c_str(), 0700) == 0;
  if (!created && errno != EEXIST) {
    return Error{errno,
                 fmt::format("Cannot create ctl directory '{}': {}", path, std::strerror(errno))};
  }
  Result<std::string> canonical = canonical_path(path);
  if (!canonical) {
    if (created) ::rmdir(path.c_str());
    return canonical.error();
  }
  Result<UniqueFd> claim = lock_directory(canonical.value());
  if (!claim) return claim.error();
  return ClaimedDirectory{canonical.take(), claim.take(), created};
}

// Only now is the directory known to be ours: a second switch must not change the first one's.
void OwnSocketDirectories::set_access(const std::string& path,
                                      const DirectorySocket& socket) const {
  if (socket.access.group != kNoGroup && ::chown(path.c_str(), kNoUser, socket.access.group) != 0) {
    log_.warning("cannot set the group of '{}': {}", path, std::strerror(errno));
  }
  if (::chmod(path.c_str(), socket.directory_mode) != 0) {
    log_.warning("cannot set the mode of '{}': {}", path, std::strerror(errno));
  }
}

Result<UniqueFd> OwnSocketDirectories::listen_in_directory(const std::string& path,
                                                           const DirectorySocket& socket) {
  const std::string name = path + "/" + socket.name;
  Result<UniqueFd> fd = listen_unix(name, socket.access, kBacklog);
  if (!fd) {
    return Error{fd.error().code, fmt::format("Could not bind to socket '{}': {}", name,
                                              std::strerror(fd.error().code))};
  }
  set_access(path, socket);
  (void)clean_directory(path, false);
  return fd;
}

Result<void> OwnSocketDirectories::clean_directory(const std::string& path, bool all) {
  for (const std::string& name : names_in(path)) {
    const std::string socket = path + "/" + name;
    if (is_data_socket_name(name) && !socket_answers(socket, SOCK_DGRAM)) unlink_socket(socket);
  }
  // By the call that takes names of sockets away, too.
  if (!all || ::unlinkat(AT_FDCWD, path.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return {};
  return Error{errno, fmt::format("Could not remove ctl dir '{}': {}", path, std::strerror(errno))};
}

}  // namespace lanyard
