// SPDX-License-Identifier: MIT
#include "backend/gateway/dns_tcp.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "switch/base/text.h"

namespace lanyard {
namespace {

constexpr std::size_t kLengthSize = 2;
constexpr std::size_t kReceivedMax = 2 * (kLengthSize + 65535);
constexpr int kBacklog = 64;
constexpr Duration kIdleCheck = std::chrono::seconds(1);

Error error_now(const char* what) {
  const int code = errno;
  return {code, fmt::format("the listener for DNS over TCP: {}: {}", what, std::strerror(code))};
}

}  // namespace

Result<std::unique_ptr<DnsTcpServer>> DnsTcpServer::create(EventLoop& loop, OnQuery on_query,
                                                           OnGone on_gone,
                                                           std::function<Time()> clock) {
  std::unique_ptr<DnsTcpServer> server(
      new DnsTcpServer(loop, std::move(on_query), std::move(on_gone), std::move(clock)));
  const Result<void> v4 = server->listen(server->v4_, AF_INET);
  const Result<void> v6 = server->listen(server->v6_, AF_INET6);
  if (!v4 && !v6) return v4.error();
  return server;
}

Result<void> DnsTcpServer::listen(Listener& listener, int family) {
  const bool is_v4 = family == AF_INET;
  UniqueFd fd(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return error_now("socket");
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_addr = in6addr_loopback;
  auto* const name = is_v4 ? reinterpret_cast<sockaddr*>(&v4) : reinterpret_cast<sockaddr*>(&v6);
  socklen_t size = is_v4 ? sizeof v4 : sizeof v6;
  if (::bind(fd.get(), name, size) != 0) return error_now("bind");
  if (::listen(fd.get(), kBacklog) != 0) return error_now("listen");
  if (::getsockname(fd.get(), name, &size) != 0) return error_now("getsockname");
  Result<EventLoop::Watch> watch =
      loop_.watch(fd.get(), EPOLLIN, [this, &listener](std::uint32_t) { on_connect(listener); });
  if (!watch) return watch.error();
  listener.port = ntohs(is_v4 ? v4.sin_port : v6.sin6_port);
  listener.fd = std::move(fd);
  listener.watch = watch.take();
  return {};
}

bool DnsTcpServer::make_room() {
  if (connections_.size() < kConnectionsMax) return true;
  auto idle = connections_.end();
  for (auto it = connections_.begin(); it != connections_.end(); ++it) {
    if (it->second.under_way != 0 || !it->second.unsent.empty()) continue;
    if (idle == connections_.end() || it->second.last_moved < idle->second.last_moved) idle = it;
  }
  if (idle == connections_.end()) return false;
  end(idle->first);
  return true;
}

void DnsTcpServer::on_connect(Listener& listener) {
  // As libslirp does: one of the two calls is enough. No call on it waits, and nothing is executed.
  UniqueFd fd(::accept(listener.fd.get(), nullptr, nullptr));  // NOLINT(android-cloexec-accept)
  if (!fd && (errno == EMFILE || errno == ENFILE)) {
    // It would be ready again at once, and for as long as there is no descriptor.
    listener.watch.set_events(0);
    listener.again = loop_.after(kIdleCheck, [&listener] { listener.watch.set_events(EPOLLIN); });
  }
  if (!fd || !make_room()) return;
  const int on = 1;
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const std::uint64_t id = next_id_++;
  Result<EventLoop::Watch> watch =
      loop_.watch(fd.get(), EPOLLIN, [this, id](std::uint32_t events) { on_ready(id, events); });
  if (!watch) return;
  Connection& connection = connections_[id];
  connection.fd = std::move(fd);
  connection.watch = watch.take();
  connection.last_moved = clock_();
  if (!idle_timer_) idle_timer_ = loop_.every(kIdleCheck, [this] { end_idle(); });
}

void DnsTcpServer::on_ready(std::uint64_t id, std::uint32_t events) {
  Connection& connection = connections_.at(id);
  if ((events & EPOLLERR) != 0 || !flush(connection)) return end(id);
  if ((events & (EPOLLIN | EPOLLHUP)) != 0 && !receive(connection)) return end(id);
  read_queries(id);
}

bool DnsTcpServer::receive(Connection& connection) {
  if (connection.ended || connection.received.size() >= kReceivedMax) return true;
  std::array<std::uint8_t, 16384> buffer;  // NOLINT: filled by the kernel
  const ssize_t got = ::recv(connection.fd.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (got < 0) return errno == EAGAIN || errno == EINTR;
  connection.ended = got == 0;
  connection.received.insert(connection.received.end(), buffer.begin(), buffer.begin() + got);
  return true;
}

// Replies may come while a query is handed on, and the connection may end.
void DnsTcpServer::read_queries(std::uint64_t id) {
  for (;;) {
    const auto found = connections_.find(id);
    if (found == connections_.end()) return;
    Connection& connection = found->second;
    std::vector<std::uint8_t>& received = connection.received;
    if (is_full(connection) || received.size() < kLengthSize) break;
    const std::size_t size = std::size_t{received[0]} << 8 | received[1];
    if (received.size() < kLengthSize + size) break;
    const auto begin = received.begin() + kLengthSize;
    const auto after = begin + static_cast<std::ptrdiff_t>(size);
    const std::vector<std::uint8_t> query(begin, after);
    received.erase(received.begin(), after);
    ++connection.under_way;
    connection.last_moved = clock_();
    connection.reading = true;
    const bool replied = on_query_(id, query);
    const auto still = connections_.find(id);
    if (still == connections_.end()) return;
    still->second.reading = false;
    if (!replied) return end(id);
  }
  settle(id);
}

void DnsTcpServer::reply(std::uint64_t id, std::span<const std::uint8_t> message) {
  const auto found = connections_.find(id);
  if (found == connections_.end() || message.size() > 65535) return;
  Connection& connection = found->second;
  if (connection.under_way != 0) --connection.under_way;
  connection.unsent.push_back(static_cast<std::uint8_t>(message.size() >> 8));
  connection.unsent.push_back(static_cast<std::uint8_t>(message.size()));
  connection.unsent.insert(connection.unsent.end(), message.begin(), message.end());
  // Within read_queries() the rest is done there.
  if (connection.reading) return;
  read_queries(id);
}

bool DnsTcpServer::flush(Connection& connection) {
  if (connection.unsent.empty()) return true;
  const ssize_t sent = ::send(connection.fd.get(), connection.unsent.data(),
                              connection.unsent.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent < 0) return errno == EAGAIN || errno == EINTR;
  connection.unsent.erase(connection.unsent.begin(), connection.unsent.begin() + sent);
  connection.last_moved = clock_();
  return true;
}

void DnsTcpServer::settle(std::uint64_t id) {
  Connection& connection = connections_.at(id);
  if (!flush(connection)) return end(id);
  if (connection.ended && connection.under_way == 0 && connection.unsent.empty()) return end(id);
  const bool reads =
      !connection.ended && !is_full(connection) && connection.received.size() < kReceivedMax;
  connection.watch.set_events((reads ? EPOLLIN : 0U) | (connection.unsent.empty() ? 0U : EPOLLOUT));
}

void DnsTcpServer::end(std::uint64_t id) {
  connections_.erase(id);
  if (connections_.empty()) idle_timer_.reset();
  on_gone_(id);
}

void DnsTcpServer::end_idle() {
  std::vector<std::uint64_t> idle;
  for (const auto& [id, connection] : connections_) {
    const bool waits_for_us = connection.under_way != 0 && connection.unsent.empty();
    if (!waits_for_us && clock_() - connection.last_moved >= kIdleTime) idle.push_back(id);
  }
  for (const std::uint64_t id : idle) end(id);
}

}  // namespace lanyard
