// SPDX-License-Identifier: MIT
//
// Unix-domain sockets as backends and console need them: born with their mode, stale names
// replaced, live ones respected, and the peer's identity as the kernel knows it.
// Nothing here waits for a peer. bind_unix() changes the process's umask for an instant, so it
// belongs to the thread that sets things up.
#pragma once

#include <sys/types.h>
#include <sys/un.h>

#include <string>

#include "switch/base/fd.h"
#include "switch/base/identity.h"
#include "switch/base/result.h"

namespace lanyard {

// The longest path a socket name can have (sun_path less its NUL).
constexpr std::size_t kSocketPathMax = sizeof(sockaddr_un::sun_path) - 1;

struct SocketAccess {
  mode_t mode = 0600;
  uid_t owner = kNoUser;   // unchanged when kNoUser
  gid_t group = kNoGroup;  // unchanged when kNoGroup
};

// Names a socket. The name has its mode from its first moment, whatever the umask is, and owner and
// group are set without following links.
Result<void> bind_unix(int fd, const std::string& path, const SocketAccess& access);

// A listening stream socket at `path`. A name that nobody answers is replaced; EADDRINUSE when
// somebody does.
Result<UniqueFd> listen_unix(const std::string& path, const SocketAccess& access, int backlog);

// Who connected: uid, gid, pid and supplementary groups at the time of connect (unix(7)).
Identity peer_identity(int connected_fd);

// Whether a process listens or receives at `path`.
bool socket_answers(const std::string& path, int socket_type);

// Removes `path` if it is a socket.
void unlink_socket(const std::string& path);

}  // namespace lanyard
