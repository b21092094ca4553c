// SPDX-License-Identifier: MIT
#include "backend/vde_directory.h"

#include <sys/socket.h>
#include <unistd.h>

#include <new>

#include "switch/base/own_identity.h"
#include "switch/base/text.h"

namespace lanyard {

VdeDirectory::VdeDirectory(Settings settings, Log& log, SocketDirectories* maker)
    : settings_(std::move(settings)),
      log_(log),
      own_(log),
      maker_(maker != nullptr ? *maker : own_),
      is_root_(own_user() == 0) {}

Result<std::shared_ptr<VdeDirectory>> VdeDirectory::open(Settings settings, Log& log,
                                                         SocketDirectories* maker) {
  std::shared_ptr<VdeDirectory> directory(new VdeDirectory(std::move(settings), log, maker));
  Result<ClaimedDirectory> claimed = directory->maker_.claim_directory(directory->settings_.path);
  if (!claimed) return claimed.error();
  directory->settings_.path = std::move(claimed.value().path);
  directory->claim_ = std::move(claimed.value().claim);
  directory->ours_ = claimed.value().created;
  return directory;
}

std::shared_ptr<VdeDirectory> VdeDirectory::adopt(Settings settings, UniqueFd claim, Time since,
                                                  Log& log, SocketDirectories* maker) {
  std::shared_ptr<VdeDirectory> directory(new VdeDirectory(std::move(settings), log, maker));
  directory->maker_.adopt_directory(directory->settings_.path);
  directory->claim_ = std::move(claim);
  directory->since_ = since;
  directory->ours_ = true;
  return directory;
}

VdeDirectory::~VdeDirectory() {
  if (!ours_) return;
  try {
    if (const Result<void> cleaned = maker_.clean_directory(settings_.path, !stays_); !cleaned) {
      log_.warning("{}", cleaned.error().text);
    }
  } catch (const std::bad_alloc&) {
    // What is left goes when a switch begins here.
  }
}

Result<UniqueFd> VdeDirectory::listen(const std::string& name, UniqueFd given) {
  if (given) {
    ours_ = true;
    stays_ = true;
    (void)maker_.clean_directory(settings_.path, false);
    return given;
  }
  Result<UniqueFd> fd = maker_.listen_in_directory(
      settings_.path,
      {name, {settings_.socket_mode, kNoUser, settings_.group}, settings_.directory_mode});
  if (fd) ours_ = true;
  return fd;
}

void VdeDirectory::remove_listener(const std::string& path, int listening_fd) {
  // A name that another switch has taken over meanwhile answers after ours is closed.
  ::shutdown(listening_fd, SHUT_RDWR);
  ::close(listening_fd);
  if (!socket_answers(path, SOCK_STREAM)) return unlink_socket(path);
  try {
    log_.notice("Cleanup not removing files: another switch uses '{}'", path);
  } catch (const std::bad_alloc&) {
    // At an end there is nobody to hear of that.
  }
}

Result<std::string> VdeDirectory::bind_data(int data_fd, PortId port, const Identity& client,
                                            bool management) {
  std::string path = fmt::format("{}/{:03}.{}", settings_.path, port, data_fd);
  SocketAccess access{settings_.socket_mode, kNoUser, settings_.group};
  if (is_root_ && client.uid != kNoUser) {
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

}  // namespace lanyard
