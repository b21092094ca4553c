// SPDX-License-Identifier: MIT
#include "backend/gateway/daemon_listeners.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "switch/base/descriptor_passing.h"
#include "switch/base/one_message.h"
#include "switch/base/poll_one.h"
#include "switch/base/text.h"
#include "switch/network/json_rpc.h"
#include "switch/network/listener_answer.h"

namespace lanyard {
namespace {

struct Received {
  ListenerAnswer answer;
  UniqueFd descriptor;
};

Error system_error(int code) {
  return {code, std::strerror(code)};
}

// EAGAIN when nothing is there.
Result<Received> receive(int fd) {
  Received received;
  iovec content{&received.answer, sizeof received.answer};
  PassedDescriptor passed;
  msghdr header{};
  header.msg_iov = &content;
  header.msg_iovlen = 1;
  passed.make_room(header);
  const ssize_t size = receive_message(fd, header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (size < 0) return system_error(errno);
  received.descriptor = take_descriptor(header);
  if (size != sizeof received.answer) return system_error(EPIPE);
  return received;
}

}  // namespace

Result<UniqueFd> DaemonListeners::listen(const std::string& path) {
  const std::uint64_t id = ++last_id_;
  const std::string request = rpc_request_line(id, "listen", {{"path", path}});
  if (::send(socket_.get(), request.data(), request.size(), MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
    return system_error(errno);
  }
  return answer_to(id);
}

Result<UniqueFd> DaemonListeners::answer_to(std::uint64_t id) const {
  const Time end = monotonic_now() + patience_;
  for (;;) {
    Result<Received> received = receive(socket_.get());
    if (received) {
      Received& one = received.value();
      if (one.answer.id != id && one.answer.id != ListenerAnswer::kAnyId) continue;
      if (one.answer.code != 0) return system_error(one.answer.code);
      // No number was free for it here.
      if (!one.descriptor) return system_error(EMFILE);
      return std::move(one.descriptor);
    }
    if (const int code = received.error().code; code != EAGAIN && code != EINTR) {
      return received.error();
    }
    const Duration left = end - monotonic_now();
    if (left <= Duration{0}) return system_error(ETIMEDOUT);
    (void)poll_one(socket_.get(), POLLIN, left);
  }
}

void DaemonListeners::unlisten(const std::string& path) {
  const std::string request = rpc_notification_line("unlisten", {{"path", path}});
  // When it cannot be had, the name goes with the forward or with this process.
  (void)::send(socket_.get(), request.data(), request.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
}

}  // namespace lanyard
