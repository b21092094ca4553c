// SPDX-License-Identifier: MIT
#include "backend/vde_listener.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "switch/base/file_status.h"
#include "switch/base/text.h"
#include "switch/base/transient_error.h"

namespace lanyard {
namespace {

constexpr std::size_t kRequestMax = 4096;
constexpr std::size_t kIgnoredMax = 65536;
constexpr Duration kAcceptPause = std::chrono::milliseconds(100);
// A receiver that is not scheduled for a few milliseconds must not lose a frame. The memory is used
// only while it lags. Unprivileged, the limit is net.core.wmem_max.
constexpr int kSendBuffer = 4 << 20;

// A copy of one that is there: what could be opened for it is out of reach in a sandbox.
UniqueFd spare_of(int fd) {
  return UniqueFd(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

bool out_of_descriptors(int error) {
  return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS;
}

void set_send_buffer(int fd) {
  if (::setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &kSendBuffer, sizeof kSendBuffer) != 0) {
    ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &kSendBuffer, sizeof kSendBuffer);
  }
}

// A state cannot say whether a client has had its answer: it is told before. So the socket says it,
// which outlives us, with a property that has no other meaning there. It is set just before: a
// client that hears twice takes the second for the end, and the answer wakes it, so that we may
// well be killed just after.
constexpr int kAnswered = 1;

void mark_answered(int control) {
  ::setsockopt(control, SOL_SOCKET, SO_PRIORITY, &kAnswered, sizeof kAnswered);
}

bool is_answered(int control) {
  int priority = kAnswered;
  socklen_t size = sizeof priority;
  return ::getsockopt(control, SOL_SOCKET, SO_PRIORITY, &priority, &size) != 0 ||
         priority == kAnswered;
}

Error refused(int code, std::string why) {
  return {code, std::move(why)};
}

// The address of the socket a request names, reached through a descriptor of the very inode that
// was checked: the name may be exchanged while we look.
struct PinnedSocket {
  UniqueFd inode;
  sockaddr_un address{};
};

Result<PinnedSocket> pin_named_socket(const VdeRequest& request, const Identity& client) {
  PinnedSocket pinned;
  pinned.address.sun_family = AF_UNIX;
  if (request.abstract) {
    std::memcpy(pinned.address.sun_path, request.data_socket.data(), kVdeSocketPathSize);
    return pinned;
  }
  const std::string name = printable(request.data_socket);
  pinned.inode.reset(::open(request.data_socket.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct stat info {};
  if (!pinned.inode || !file_status(pinned.inode.get(), info)) {
    return refused(errno, fmt::format("its data socket '{}': {}", name, std::strerror(errno)));
  }
  if (!S_ISSOCK(info.st_mode)) {
    return refused(ENOTSOCK, fmt::format("'{}' is not a socket", name));
  }
  if (client.uid != 0 && info.st_uid != client.uid) {
    return refused(EACCES, fmt::format("'{}' belongs to user {}, not to the client's user {}", name,
                                       info.st_uid, client.uid));
  }
  const std::string path = fmt::format("/proc/self/fd/{}", pinned.inode.get());
  std::memcpy(pinned.address.sun_path, path.data(), path.size());
  return pinned;
}

}  // namespace

VdeListener::VdeListener(Settings settings, std::shared_ptr<VdeShared> shared, Patchbay& patchbay)
    : settings_(std::move(settings)),
      shared_(std::move(shared)),
      patchbay_(patchbay),
      deadline_timer_(patchbay.loop(), [this] { expire_requests(); }) {}

Result<std::unique_ptr<VdeListener>> VdeListener::open(Settings settings,
                                                       std::shared_ptr<VdeShared> shared,
                                                       Patchbay& patchbay, UniqueFd given) {
  const bool is_given = static_cast<bool>(given);
  Result<UniqueFd> fd = shared->directory->listen(settings.name, std::move(given));
  if (!fd) return fd.error();
  std::unique_ptr<VdeListener> self(
      new VdeListener(std::move(settings), std::move(shared), patchbay));
  self->given_ = is_given;
  if (Result<void> listening = self->listen(fd.take()); !listening) return listening.error();
  return self;
}

Result<void> VdeListener::listen(UniqueFd listening) {
  path_ = shared_->directory->path_of(settings_.name);
  listening_ = std::move(listening);
  spare_ = spare_of(listening_.get());
  Result<EventLoop::Watch> watch = patchbay_.loop().watch(
      listening_.get(), EPOLLIN, [this](std::uint32_t) { accept_clients(); });
  if (!watch) return watch.error();
  watch_ = watch.take();
  return {};
}

VdeListener::~VdeListener() {
  watch_.reset();
  for (const auto& connection : plugged_) patchbay_.unplug(*connection->plug);
  while (!pending_.empty()) drop(*pending_.front());
  while (!plugged_.empty()) {
    plugged_.front()->plug = nullptr;
    drop(*plugged_.front());
  }
  spare_.reset();
  if (listening_ && !given_) shared_->directory->remove_listener(path_, listening_.release());
}

template <typename... Args>
void VdeListener::complain(fmt::format_string<Args...> format, Args&&... args) {
  if (!complaints_.allow(patchbay_.loop().now())) return;
  if (const std::uint64_t held = complaints_.take_suppressed(); held != 0) {
    shared_->log.warning("{}: {} more lines about refused clients were held back", settings_.name,
                         held);
  }
  shared_->log.warning("{}", fmt::format(format, std::forward<Args>(args)...));
}

// ---- accepting ----

void VdeListener::accept_clients() {
  for (int i = 0; i < kAcceptsPerRound; ++i) {
    UniqueFd control(::accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (control) {
      add_connection(std::move(control));
      continue;
    }
    if (errno == EINTR || errno == ECONNABORTED) continue;
    if (!out_of_descriptors(errno)) return;
    if (!make_room()) return pause_accepting();
  }
}

// Out of descriptors: a connection that has not spoken makes room for one that may; when there is
// none, the newcomer is refused with the spare descriptor instead of being left in silence.
bool VdeListener::make_room() {
  complain("out of file descriptors ({}); raise the limit (ulimit -n)", std::strerror(errno));
  if (!pending_.empty()) {
    drop(*pending_.front());
    return true;
  }
  if (!spare_) return false;
  spare_.reset();
  UniqueFd turned_away(::accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  const bool done = static_cast<bool>(turned_away);
  turned_away.reset();
  spare_ = spare_of(listening_.get());
  return done;
}

void VdeListener::pause_accepting() {
  resume_timer_ = patchbay_.loop().after(kAcceptPause, [this] {
    if (!spare_) spare_ = spare_of(listening_.get());
    watch_.set_events(EPOLLIN);
  });
  // Only then: without memory for the way back it goes on trying.
  watch_.set_events(0);
}

void VdeListener::add_connection(UniqueFd control) {
  if (pending_.size() >= kPendingMax) {
    complain("{} clients have connected to '{}' without a request; closing the oldest",
             pending_.size(), settings_.name);
    pending_.pop_front();
  }
  auto connection = std::make_unique<Connection>();
  connection->client = peer_identity(control.get());
  connection->control = std::move(control);
  // Not the loop's time: a number may be used twice in a round.
  connection->since = monotonic_now();
  connection->deadline = connection->since + kRequestDeadline;
  if (Result<void> watched = watch(*connection); !watched) {
    return complain("cannot watch a new client: {}", watched.error().text);
  }
  pending_.push_back(std::move(connection));
  set_deadline();
}

Result<void> VdeListener::watch(Connection& connection) {
  Result<EventLoop::Watch> watch =
      patchbay_.loop().watch(connection.control.get(), EPOLLIN | EPOLLRDHUP,
                             [this, &connection](std::uint32_t) { on_control(connection); });
  if (!watch) return watch.error();
  connection.watch = watch.take();
  return {};
}

void VdeListener::set_deadline() {
  deadline_timer_.follow(pending_.empty() ? Time::max() : pending_.front()->deadline,
                         patchbay_.loop().now());
}

void VdeListener::expire_requests() {
  const Time now = patchbay_.loop().now();
  while (!pending_.empty() && pending_.front()->deadline <= now) {
    refuse(*pending_.front(), fmt::format("no complete request within {} s ({} bytes came)",
                                          kRequestDeadline / std::chrono::seconds(1),
                                          pending_.front()->received.size()));
  }
  set_deadline();
}

// ---- one connection ----

// Whose request was lost for want of memory sees that at once, and may ask again.
void VdeListener::on_control(Connection& connection) {
  const bool done = patchbay_.loop().run([&] {
    if (connection.plug == nullptr) {
      read_request(connection);
    } else {
      ignore_input(connection);
    }
  });
  if (!done) drop(connection);
}

void VdeListener::read_request(Connection& connection) {
  std::array<std::uint8_t, kRequestMax> chunk{};
  const ssize_t count = ::recv(connection.control.get(), chunk.data(), chunk.size(), MSG_DONTWAIT);
  if (count < 0 && is_transient(errno)) return;
  if (count <= 0) return drop(connection);
  connection.received.insert(connection.received.end(), chunk.begin(), chunk.begin() + count);
  VdeParse parse = parse_vde_request(connection.received);
  switch (parse.state) {
    case VdeParse::State::incomplete: return;
    case VdeParse::State::refused: return refuse(connection, parse.why.text);
    case VdeParse::State::complete: break;
  }
  if (Result<void> done = plug_in(connection, parse.request); !done) {
    return refuse(connection, done.error().text);
  }
  connection.received = {};
  const auto at = std::find_if(pending_.begin(), pending_.end(),
                               [&](const auto& c) { return c.get() == &connection; });
  plugged_.splice(plugged_.end(), pending_, at);
  // A client that has its answer must find a successor of ours that knows it.
  patchbay_.commit();
  if (Result<void> done = answer(connection); !done) refuse(connection, done.error().text);
}

// One request a connection. More input is harmless: a long description's tail, or a mistake. Past a
// bound it is left in the socket, where it is the sender's problem.
void VdeListener::ignore_input(Connection& connection) {
  std::array<std::uint8_t, kRequestMax> chunk{};
  const ssize_t count = ::recv(connection.control.get(), chunk.data(), chunk.size(), MSG_DONTWAIT);
  if (count < 0 && is_transient(errno)) return;
  if (count <= 0) return drop(connection);
  if (connection.ignored == 0) {
    complain("client '{}' sent {} bytes after its request; ignored",
             printable(connection.plug->traits().description), count);
  }
  connection.ignored += static_cast<std::size_t>(count);
  if (connection.ignored > kIgnoredMax) connection.watch.set_events(EPOLLRDHUP);
}

Result<UniqueFd> VdeListener::connect_data(const Connection& connection,
                                           const VdeRequest& request) const {
  Result<PinnedSocket> pinned = pin_named_socket(request, connection.client);
  if (!pinned) return pinned.error();
  UniqueFd data(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!data) return refused(errno, fmt::format("no data socket: {}", std::strerror(errno)));
  set_send_buffer(data.get());
  // The full length, so that an abstract name has the 108 bytes its owner gave it.
  if (::connect(data.get(), reinterpret_cast<const sockaddr*>(&pinned.value().address),
                sizeof(sockaddr_un)) != 0) {
    return refused(errno, fmt::format("Connecting to client data socket {}: {}",
                                      printable(request.data_socket), std::strerror(errno)));
  }
  return data;
}

Result<void> VdeListener::plug_in(Connection& connection, const VdeRequest& request) {
  // Connected before the reply: clients may take their socket's name away once they have it.
  Result<UniqueFd> data = connect_data(connection, request);
  // Who asks goes before who only connected.
  while (!data && out_of_descriptors(data.error().code) && pending_.front().get() != &connection) {
    pending_.pop_front();
    data = connect_data(connection, request);
  }
  if (!data) return data.error();

  PlugRequest wanted;
  wanted.port = request.port;
  wanted.range_first = settings_.range_first;
  wanted.range_last = settings_.range_last;
  wanted.traits = {"unix prog", request.description, connection.control.get(), connection.client};
  const Result<PortId> port = patchbay_.reserve(wanted);
  if (!port) return port.error();

  auto endpoint =
      std::make_unique<VdeEndpoint>(shared_, data.take(), std::string(), request.description);
  Result<std::string> path = shared_->directory->bind_data(
      endpoint->wait_fd(), port.value(), connection.client, request.management_type);
  if (!path) return path.error();
  endpoint->own_socket(path.take());
  Result<Plug*> plug = patchbay_.plug(port.value(), std::move(endpoint), std::move(wanted.traits),
                                      [this, &connection](UnplugReason) {
                                        connection.plug = nullptr;
                                        drop(connection);
                                      });
  if (!plug) return plug.error();
  connection.plug = plug.value();
  return {};
}

Result<void> VdeListener::answer(Connection& connection) {
  const auto& endpoint = static_cast<const VdeEndpoint&>(connection.plug->endpoint());
  const auto reply = make_vde_reply(endpoint.socket_path());
  mark_answered(connection.control.get());
  if (::send(connection.control.get(), reply.data(), reply.size(), MSG_DONTWAIT | MSG_NOSIGNAL) !=
      static_cast<ssize_t>(reply.size())) {
    return refused(errno, fmt::format("it left before the reply: {}", std::strerror(errno)));
  }
  return {};
}

void VdeListener::refuse(Connection& connection, std::string_view why) {
  patchbay_.loop().run([&] {
    complain("client refused (pid {}, user {}): {}", connection.client.pid,
             static_cast<std::int32_t>(connection.client.uid), why);
  });
  drop(connection);
}

void VdeListener::drop(Connection& connection) {
  if (connection.plug != nullptr) patchbay_.unplug(*connection.plug);
  // A keeper may hold the socket, too, and the client is to see the end of it now.
  if (connection.control) ::shutdown(connection.control.get(), SHUT_RDWR);
  const auto is_it = [&](const auto& c) { return c.get() == &connection; };
  if (std::erase_if(pending_, is_it) == 0) std::erase_if(plugged_, is_it);
}

// ---- a successor process ----

HandoverPart VdeListener::handover_of(const Connection& connection) {
  HandoverPart part;
  part.kind = "client";
  part.descriptors.push_back({connection.control.get(), connection.since, false, false});
  if (connection.plug == nullptr) {
    part.set("received", std::string(connection.received.begin(), connection.received.end()));
    return part;
  }
  // Every plug of ours has one of our endpoints.
  const auto& endpoint = static_cast<const VdeEndpoint&>(connection.plug->endpoint());
  part.descriptors.push_back({endpoint.wait_fd(), connection.since, true, false});
  part.set("port", connection.plug->port().id());
  part.set("path", endpoint.socket_path());
  part.set("description", connection.plug->traits().description);
  return part;
}

std::optional<HandoverPart> VdeListener::handover(HandoverReason why) const {
  HandoverPart part;
  part.kind = "listener";
  part.set("name", settings_.name);
  part.set("first", settings_.range_first);
  part.set("last", settings_.range_last);
  part.set("given", given_ ? 1U : 0U);
  part.descriptors.push_back({listening_.get(), since_, false, false});
  for (const auto& connection : plugged_) part.parts.push_back(handover_of(*connection));
  // A request that has come in part is of use only to who goes on from this very moment.
  if (why == HandoverReason::upgrade) {
    for (const auto& connection : pending_) part.parts.push_back(handover_of(*connection));
  }
  return part;
}

Result<std::unique_ptr<VdeListener>> VdeListener::adopt(const HandoverPart& part,
                                                        std::shared_ptr<VdeShared> shared,
                                                        Patchbay& patchbay) {
  if (part.descriptors.size() != 1) return Error{EBADMSG, "vde: a listener without its socket"};
  Settings settings;
  settings.name = part.text("name");
  settings.range_first = static_cast<PortId>(part.number("first", kPortMax).value_or(1));
  settings.range_last = static_cast<PortId>(part.number("last", kPortMax).value_or(kPortMax));
  std::unique_ptr<VdeListener> self(
      new VdeListener(std::move(settings), std::move(shared), patchbay));
  self->since_ = part.descriptors[0].since;
  self->given_ = part.number("given", 1) == 1;
  if (self->given_) self->shared_->directory->leave_standing();
  if (Result<void> listening = self->listen(UniqueFd(part.descriptors[0].number)); !listening) {
    return listening.error();
  }
  for (const HandoverPart& client : part.parts) {
    if (Result<void> adopted = self->adopt_client(client); !adopted) {
      self->complain("a client is lost on the way from one process to the next: {}",
                     adopted.error().text);
    }
  }
  return self;
}

Result<void> VdeListener::adopt_client(const HandoverPart& part) {
  if (part.descriptors.empty() || part.descriptors.size() > 2) {
    return Error{EBADMSG, "it has no socket"};
  }
  const bool plugged = part.descriptors.size() == 2;
  UniqueFd data(plugged ? part.descriptors[1].number : -1);
  auto connection = std::make_unique<Connection>();
  Connection& self = *connection;
  self.control.reset(part.descriptors[0].number);
  self.since = part.descriptors[0].since;
  self.client = peer_identity(self.control.get());
  if (Result<void> watched = watch(self); !watched) return watched;
  if (!plugged) {
    const std::string& received = part.text("received");
    self.received.assign(received.begin(), received.end());
    self.deadline = patchbay_.loop().now() + kRequestDeadline;
    pending_.push_back(std::move(connection));
    set_deadline();
    return {};
  }
  const auto port = part.number("port", kPortMax);
  if (!port) return Error{EBADMSG, "nobody knows its port"};
  const std::string& description = part.text("description");
  auto endpoint =
      std::make_unique<VdeEndpoint>(shared_, std::move(data), part.text("path"), description);
  Result<Plug*> plug =
      patchbay_.plug(static_cast<PortId>(*port), std::move(endpoint),
                     Plug::Traits{"unix prog", description, self.control.get(), self.client},
                     [this, &self](UnplugReason) {
                       self.plug = nullptr;
                       drop(self);
                     });
  if (!plug) return plug.error();
  self.plug = plug.value();
  plugged_.push_back(std::move(connection));
  if (is_answered(self.control.get())) return {};
  Result<void> answered = answer(self);
  if (!answered) drop(self);
  return answered;
}

}  // namespace lanyard
