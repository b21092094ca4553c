// SPDX-License-Identifier: MIT
#include "backend/gateway/tcp_engine.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

#include "backend/gateway/nat_reply.h"
#include "backend/gateway/socket_name.h"
#include "switch/base/fd.h"
#include "switch/base/one_message.h"
#include "switch/base/text.h"

namespace lanyard {
namespace {

constexpr std::uint32_t kReadEvents = EPOLLIN | EPOLLRDHUP | EPOLLET;
// Deadlines are met so much later, and then all at once. Each connection leaves some behind that
// were for nothing, and to be woken for one of them costs more than to carry a segment.
constexpr Duration kDeadlineGrid = std::chrono::milliseconds(2);

void set_option(int fd, int level, int option, int value) {
  (void)::setsockopt(fd, level, option, &value, sizeof value);
}

Result<UniqueFd> open_socket(const TcpEngine::Target& target) {
  const int family = target.address.is_v4() ? AF_INET : AF_INET6;
  UniqueFd fd(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return Error{errno, fmt::format("socket: {}", std::strerror(errno))};
  // The guest has gathered already what it wanted to gather.
  set_option(fd.get(), IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(fd.get(), SOL_SOCKET, SO_OOBINLINE, 1);
  if (target.source && target.source->is_v4() == target.address.is_v4()) {
    set_option(fd.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    const SocketName name(*target.source, 0);
    if (::bind(fd.get(), name.get(), name.size()) != 0) {
      return Error{errno,
                   fmt::format("bind to {}: {}", target.source->text(), std::strerror(errno))};
    }
  }
  return fd;
}

}  // namespace

struct TcpEngine::Connection final : TcpHost, TcpLink {
  Connection(TcpEngine& of, std::uint64_t its_number, const TcpFlow::Opening& opening)
      : engine(of), number(its_number), flow(of.memory_, of.counters_, opening) {}

  std::ptrdiff_t send(std::span<const iovec> parts) override {
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(parts.data());
    message.msg_iovlen = parts.size();
    ssize_t sent = 0;
    do {
      sent = send_message(fd.get(), message, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : sent;
  }
  std::ptrdiff_t receive(std::span<std::uint8_t> into) override {
    ssize_t received = 0;
    do {
      received = ::recv(fd.get(), into.data(), into.size(), MSG_DONTWAIT);
    } while (received < 0 && errno == EINTR);
    return received < 0 ? -errno : received;
  }
  void end_sending() override { (void)::shutdown(fd.get(), SHUT_WR); }

  bool has_room() const override { return !engine.output_.congested(); }
  void send(const TcpHeader& header, std::span<std::uint8_t> payload, bool has_headroom) override {
    std::span<std::uint8_t> room;
    if (has_headroom) {
      room = {payload.data() - kTcpHeadroom, kTcpHeadroom + payload.size()};
    } else {
      room = std::span(engine.scratch_).first(kTcpHeadroom + payload.size());
      std::copy(payload.begin(), payload.end(), room.begin() + kTcpHeadroom);
    }
    const TcpFrame made = frame_segment(path, header, room, flow.sender().segment_size());
    engine.output_.send_segment(made.frame, made.offload);
  }

  TcpEngine& engine;
  const std::uint64_t number;
  TcpFlow flow;
  TcpPath path;
  UniqueFd fd;
  SocketName name;          // of the target
  EventLoop::Watch events;  // before fd ends
  std::uint32_t watched = 0;
  bool is_connected = false;
  bool is_touched = false;
  bool is_blocked = false;
  Time queued_for = Time::max();  // the earliest of its entries in deadlines_
};

TcpEngine::TcpEngine(EventLoop& loop, GuestOutput& output, NatCounters& counters,
                     Observer& observer)
    : loop_(loop),
      output_(output),
      counters_(counters),
      observer_(observer),
      timer_(loop, [this] { on_deadline(); }),
      scratch_(kTcpHeadroom + kTcpPayloadMax) {}

TcpEngine::~TcpEngine() = default;

TcpEngine::Connection* TcpEngine::find(std::uint64_t number) {
  const auto found = connections_.find(number);
  return found == connections_.end() ? nullptr : found->second.get();
}

// RFC 6528 wants them unpredictable; taken from the kernel by the dozen.
std::uint32_t TcpEngine::initial_sequence() {
  if (random_left_ == 0) {
    const ssize_t got = ::getrandom(random_.data(), sizeof random_, 0);
    random_left_ = got < 0 ? 1 : static_cast<std::size_t>(got) / sizeof random_[0];
  }
  return random_[--random_left_];
}

Result<TcpEngine::Opened> TcpEngine::open(const NatPacket& syn, MacAddress router_mac,
                                          std::uint32_t mtu, const Target& target) {
  auto fd = open_socket(target);
  if (!fd) return fd.error();
  const SocketName name(target.address, target.port);
  if (::connect(fd.value().get(), name.get(), name.size()) != 0 && errno != EINPROGRESS) {
    return Error{errno, fmt::format("connect to {} port {}: {}", target.address.text(), target.port,
                                    std::strerror(errno))};
  }
  const std::size_t headers = (syn.v6 ? kIpv6HeaderSize : kIpv4HeaderSize) + kTcpHeaderSize;
  TcpFlow::Opening opening;
  opening.guest_sequence = syn.sequence;
  opening.sequence = initial_sequence();
  opening.window = syn.window;
  opening.options = {syn.segment_size, syn.window_shift, syn.sack_permitted};
  opening.segment_size =
      static_cast<std::uint16_t>(std::clamp<std::size_t>(mtu, 576, 65535) - headers);
  const std::uint64_t number = next_number_++;
  auto made = std::make_unique<Connection>(*this, number, opening);
  made->path = {syn.key, syn.mac, router_mac, syn.v6};
  made->fd = fd.take();
  made->name = name;
  const Opened opened{number, made->fd.get()};
  touch(*made);
  connections_.emplace(number, std::move(made));
  return opened;
}

void TcpEngine::touch(Connection& connection) {
  if (std::exchange(connection.is_touched, true)) return;
  touched_.push_back(connection.number);
}

void TcpEngine::input(std::uint64_t number, const NatPacket& packet) {
  Connection* const connection = find(number);
  if (connection == nullptr) return;
  connection->path.guest_mac = packet.mac;
  const std::size_t options = packet.transport_offset + kTcpHeaderSize;
  connection->flow.segment(
      {packet.sequence, packet.acknowledgement, packet.window, packet.flags, packet.payload(),
       packet.frame.subspan(options, packet.payload_offset - options)},
      loop_.now());
  touch(*connection);
}

void TcpEngine::end_batch() {
  std::vector<std::uint64_t> numbers;
  numbers.swap(touched_);
  for (const std::uint64_t number : numbers) {
    Connection* const connection = find(number);
    if (connection == nullptr) continue;
    connection->is_touched = false;
    proceed(*connection);
  }
  numbers.clear();
  if (touched_.empty()) touched_.swap(numbers);  // for its memory
  settle_blocked();
}

void TcpEngine::on_events(std::uint64_t number, std::uint32_t events) {
  Connection* const connection = find(number);
  if (connection == nullptr) return;
  const bool is_error = (events & (EPOLLERR | EPOLLHUP)) != 0;
  if (is_error || (events & (EPOLLIN | EPOLLRDHUP)) != 0) {
    connection->flow.readable();
  }
  if (is_error || (events & EPOLLOUT) != 0) connection->flow.writable();
  int error = 0;
  socklen_t size = sizeof error;
  // Nobody reads any more, so nobody would see it.
  if ((events & EPOLLERR) != 0 && connection->flow.host_finished() &&
      ::getsockopt(connection->fd.get(), SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error != 0) {
    connection->flow.fail(*connection);
  }
  proceed(*connection);
}

void TcpEngine::proceed(Connection& connection) {
  if (!connection.is_connected && !connection.flow.ended()) {
    if (const int code = connect(connection); code != 0) refused(connection, code);
  }
  settle(connection);
}

// 0 when it is up or on its way, which is what EALREADY says; else why it will never be.
int TcpEngine::connect(Connection& connection) {
  if (::connect(connection.fd.get(), connection.name.get(), connection.name.size()) == 0 ||
      errno == EISCONN) {
    connection.is_connected = true;
    connection.flow.connected();
  } else if (errno != EALREADY && errno != EINPROGRESS && errno != EINTR) {
    return errno;
  }
  return watch(connection) ? 0 : ENOMEM;
}

// As if the target had been asked by the guest itself: nobody there is what a router says, and a
// target that is silent, nothing.
void TcpEngine::refused(Connection& connection, int code) {
  if (unreachable_by(code, connection.path.v6)) {
    connection.flow.give_up();
    observer_.connection_unreachable(connection.path.key, connection.flow.guest_sequence(), code);
  } else if (code == ETIMEDOUT) {
    connection.flow.give_up();
  } else {
    connection.flow.fail(connection);
  }
}

// For what it waits for. Writing is watched only when that was not possible once: a socket that is
// watched for it begins with an event for nothing.
bool TcpEngine::watch(Connection& connection) {
  std::uint32_t wanted = connection.watched | kReadEvents;
  if (!connection.is_connected || connection.flow.receiver().waits_for_host()) wanted |= EPOLLOUT;
  if (wanted == connection.watched) return true;
  if (connection.events) {
    connection.watched = wanted;
    connection.events.set_events(wanted);
    return true;
  }
  const std::uint64_t number = connection.number;
  auto made = loop_.watch(connection.fd.get(), wanted,
                          [this, number](std::uint32_t events) { on_events(number, events); });
  if (!made) return false;
  connection.watched = wanted;
  connection.events = made.take();
  return true;
}

void TcpEngine::settle(Connection& connection) {
  connection.flow.settle(connection, connection, loop_.now());
  observer_.connection_changed(connection.path.key, connection.flow);
  if (connection.flow.ended()) return end(connection);
  if (connection.flow.receiver().waits_for_host()) (void)watch(connection);
  if (connection.flow.blocked() && !std::exchange(connection.is_blocked, true)) {
    blocked_.push_back(connection.number);
  }
  schedule(connection);
}

void TcpEngine::end(Connection& connection) {
  if (connection.flow.state() == TcpFlow::State::reset) {
    const linger at_once{1, 0};
    (void)::setsockopt(connection.fd.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  }
  const FlowKey key = connection.path.key;
  connection.events.reset();
  connections_.erase(connection.number);
  observer_.connection_ended(key);
}

void TcpEngine::abandon(std::uint64_t number) {
  Connection* const connection = find(number);
  if (connection == nullptr) return;
  end(*connection);
}

void TcpEngine::resume() {
  settle_blocked();
}

void TcpEngine::settle_blocked() {
  if (blocked_.empty() || output_.congested() || !memory_.has_room()) return;
  std::vector<std::uint64_t> numbers;
  numbers.swap(blocked_);
  for (const std::uint64_t number : numbers) {
    Connection* const connection = find(number);
    if (connection == nullptr) continue;
    connection->is_blocked = false;
    settle(*connection);
  }
}

// An entry that has become too early is put back when its time comes: most deadlines move all the
// time, and few are ever reached.
void TcpEngine::schedule(Connection& connection) {
  const Time deadline = connection.flow.deadline();
  if (deadline >= connection.queued_for) return;
  connection.queued_for = deadline;
  deadlines_.emplace(deadline, connection.number);
  arm();
}

void TcpEngine::arm() {
  if (deadlines_.empty() || deadlines_.top().first >= timer_.deadline()) return;
  const Time nearest = deadlines_.top().first;
  timer_.follow(nearest + kDeadlineGrid - nearest % kDeadlineGrid, loop_.now());
}

void TcpEngine::on_deadline() {
  const Time now = loop_.now();
  while (!deadlines_.empty() && deadlines_.top().first <= now) {
    const auto [time, number] = deadlines_.top();
    deadlines_.pop();
    Connection* const connection = find(number);
    if (connection == nullptr || connection->queued_for != time) continue;
    connection->queued_for = Time::max();
    if (connection->flow.deadline() > now) {
      schedule(*connection);
      continue;
    }
    try {
      settle(*connection);
    } catch (const std::bad_alloc&) {
      if (Connection* const still = find(number); still != nullptr) schedule(*still);
      throw;
    }
  }
  timer_.follow(Time::max(), now);
  arm();
}

}  // namespace lanyard
