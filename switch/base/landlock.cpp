// SPDX-License-Identifier: MIT
//
// Paths by Landlock (landlock(7)): libc has no wrappers, and the kernel may be newer or older than
// the headers, so the rights of later versions are named here and those that it does not know are
// left away.
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "switch/base/fd.h"
#include "switch/base/sandbox.h"
#include "switch/base/text.h"

namespace lanyard {
namespace {

// Of the versions 3 and 5 (landlock(7), "Landlock ABI versions").
constexpr std::uint64_t kTruncate = std::uint64_t{1} << 14;
constexpr std::uint64_t kDeviceIoctl = std::uint64_t{1} << 15;
// Of version 6: no signal to, and no abstract socket of, a process outside.
constexpr std::uint64_t kScopeAbstractSockets = std::uint64_t{1} << 0;
constexpr std::uint64_t kScopeSignals = std::uint64_t{1} << 1;

// landlock_create_ruleset(2) of version 6; an older kernel wants it shorter, or the rest zero.
struct RulesetAttributes {
  std::uint64_t handled_access_fs;
  std::uint64_t handled_access_net;
  std::uint64_t scoped;
};

// What can be said about something that is no directory.
constexpr std::uint64_t kOfFiles = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE |
                                   LANDLOCK_ACCESS_FS_READ_FILE | kTruncate | kDeviceIoctl;

// All rights that a version can take away.
std::uint64_t rights_of(int version) {
  std::uint64_t rights = LANDLOCK_ACCESS_FS_MAKE_SYM * 2 - 1;
  if (version >= 2) rights |= LANDLOCK_ACCESS_FS_REFER;
  if (version >= 3) rights |= kTruncate;
  if (version >= 5) rights |= kDeviceIoctl;
  return rights;
}

std::uint64_t rights_of(const AllowedPath& path) {
  std::uint64_t rights = 0;
  if (path.read) rights |= LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
  if (path.change) {
    rights |= LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG |
              LANDLOCK_ACCESS_FS_REMOVE_FILE | kTruncate;
  }
  if (path.sockets) rights |= LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_REMOVE_FILE;
  if (path.remove_directories) rights |= LANDLOCK_ACCESS_FS_REMOVE_DIR;
  return rights;
}

// A path that is not there needs no rule.
Result<void> add_rule(int ruleset, const AllowedPath& path, std::uint64_t handled) {
  const UniqueFd fd(::open(path.path.c_str(), O_PATH | O_CLOEXEC));
  if (!fd) return {};
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return {};
  landlock_path_beneath_attr rule{};
  rule.allowed_access = rights_of(path) & handled;
  if (!S_ISDIR(info.st_mode)) {
    // Who may write to a device may tell it things.
    if (path.change) rule.allowed_access |= kDeviceIoctl & handled;
    rule.allowed_access &= kOfFiles;
  }
  rule.parent_fd = fd.get();
  if (rule.allowed_access == 0 ||
      ::syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0) {
    return {};
  }
  return Error{errno, fmt::format("paths are not restricted: Landlock does not take {}: {}",
                                  path.path, std::strerror(errno))};
}

}  // namespace

Result<int> restrict_paths(std::span<const AllowedPath> paths, bool abstract_sockets) {
  const auto version = static_cast<int>(
      ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION));
  if (version < 1) {
    return Error{errno, fmt::format("paths are not restricted: this kernel has no Landlock ({})",
                                    std::strerror(errno))};
  }
  RulesetAttributes attributes{rights_of(version), 0, 0};
  if (version >= 6) attributes.scoped = kScopeSignals;
  if (version >= 6 && !abstract_sockets) attributes.scoped |= kScopeAbstractSockets;
  // Trailing zeros are what an older kernel takes, too.
  const UniqueFd ruleset(
      static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0)));
  if (!ruleset) {
    return Error{errno, fmt::format("paths are not restricted: no Landlock ruleset: {}",
                                    std::strerror(errno))};
  }
  for (const AllowedPath& path : paths) {
    if (Result<void> added = add_rule(ruleset.get(), path, attributes.handled_access_fs); !added) {
      return added.error();
    }
  }
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      ::syscall(SYS_landlock_restrict_self, ruleset.get(), 0) != 0) {
    return Error{errno, fmt::format("paths are not restricted: {}", std::strerror(errno))};
  }
  return version;
}

}  // namespace lanyard
