// SPDX-License-Identifier: MIT
#include "switch/cli/rpc_client.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "switch/base/text.h"

namespace lanyard {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// A table of 65,536 addresses is some megabytes.
constexpr std::size_t kAnswerMax = std::size_t{256} << 20;

// Whether there is something to read, or the end, before the deadline.
bool wait_readable(int fd, std::optional<Clock::time_point> deadline) {
  for (;;) {
    int wait_ms = -1;
    if (deadline) {
      const auto left = std::chrono::ceil<milliseconds>(*deadline - Clock::now()).count();
      if (left <= 0) return false;
      wait_ms = static_cast<int>(left);
    }
    pollfd entry{fd, POLLIN, 0};
    const int ready = ::poll(&entry, 1, wait_ms);
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
  }
}

bool send_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

}  // namespace

RpcClientSocket::RpcClientSocket(UniqueFd fd, std::string path)
    : fd_(std::move(fd)), path_(std::move(path)), reader_(kAnswerMax) {}

std::variant<RpcClientSocket, RpcError> RpcClientSocket::open(const std::string& path) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (path.size() >= sizeof(name.sun_path)) {
    return RpcError{RpcCode::invalid_params, "the path of the control socket is too long: " + path};
  }
  path.copy(name.sun_path, path.size());
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return RpcError{RpcCode::failed, fmt::format("no socket: {}", std::strerror(errno))};
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&name), sizeof(name)) == 0) {
    return RpcClientSocket(std::move(fd), path);
  }
  if (errno == EACCES || errno == EPERM) {
    return RpcError{RpcCode::not_permitted,
                    fmt::format("{}: not permitted; be root, or of the daemon's control group (see "
                                "control.group in lanyard.toml(5))",
                                path)};
  }
  return RpcError{RpcCode::unreachable,
                  fmt::format("no daemon answers at {} ({}); start one with: lanyard up", path,
                              std::strerror(errno))};
}

std::optional<std::string> RpcClientSocket::next_line(std::optional<milliseconds> timeout) {
  std::optional<Clock::time_point> deadline;
  if (timeout) deadline = Clock::now() + *timeout;
  for (;;) {
    if (auto line = reader_.next()) return line->text;
    if (!wait_readable(fd_.get(), deadline)) return std::nullopt;
    std::array<char, 65536> piece{};
    const ssize_t got = ::read(fd_.get(), piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      fd_ = UniqueFd();
      return std::nullopt;
    }
    reader_.add({piece.data(), static_cast<std::size_t>(got)});
  }
}

std::variant<Json, RpcError> RpcClientSocket::call(std::string_view method, const Json& params,
                                                   milliseconds timeout) {
  const int id = next_id_++;
  if (!send_all(fd_.get(), rpc_request_line(id, method, params) + "\n")) {
    return RpcError{RpcCode::unreachable, fmt::format("the daemon at {} hung up", path_)};
  }
  const auto deadline = Clock::now() + timeout;
  for (;;) {
    const auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now());
    const auto line = next_line(left);
    if (!line) {
      return RpcError{
          RpcCode::unreachable,
          fd_ ? fmt::format("the daemon at {} has not answered for {} s", path_,
                            std::chrono::duration_cast<std::chrono::seconds>(timeout).count())
              : fmt::format("the daemon at {} hung up before it answered", path_)};
    }
    RpcMessage message = parse_rpc(*line);
    if (const auto* garbage = std::get_if<RpcGarbage>(&message)) {
      return RpcError{RpcCode::failed,
                      "the daemon speaks another language: " + printable(garbage->error.message)};
    }
    auto* response = std::get_if<RpcResponse>(&message);
    // A refusal before the daemon knew the question has no id.
    if (response == nullptr || (response->id != id && !response->id.is_null())) continue;
    if (response->error) return *response->error;
    return std::move(response->result);
  }
}

std::optional<Json> RpcClientSocket::next_notification() {
  while (const auto line = next_line(std::nullopt)) {
    const RpcMessage message = parse_rpc(*line);
    const auto* request = std::get_if<RpcRequest>(&message);
    if (request != nullptr && request->method == "event") return request->params;
  }
  return std::nullopt;
}

bool RpcClientSocket::wait_for_end(milliseconds timeout) {
  const auto deadline = Clock::now() + timeout;
  while (fd_ && Clock::now() < deadline) {
    static_cast<void>(next_line(std::chrono::ceil<milliseconds>(deadline - Clock::now())));
  }
  return !fd_;
}

}  // namespace lanyard
