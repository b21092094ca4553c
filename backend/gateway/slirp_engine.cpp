// SPDX-License-Identifier: MIT
#include "backend/gateway/slirp_engine.h"

#include <fcntl.h>
#include <glib.h>
#include <netinet/in.h>
#include <slirp/libslirp.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "backend/gateway/slirp_neighbours.h"
#include "switch/base/text.h"

namespace lanyard {
namespace {

constexpr int kBacklog = 4096;  // the kernel cuts it to net.core.somaxconn
constexpr std::size_t kDescriptorsForOthers = 128;
constexpr Duration kClockSlack = std::chrono::milliseconds(100);
constexpr std::size_t kGuestsPerRun = 15;  // one less than libslirp remembers

in_addr to_in_addr(Ipv4Address address) {
  return in_addr{htonl(address.number())};
}

in6_addr to_in6_addr(const Ipv6Address& address) {
  in6_addr in{};
  std::copy(address.bytes().begin(), address.bytes().end(), in.s6_addr);
  return in;
}

std::uint32_t epoll_events_of(int asked) {
  std::uint32_t events = 0;
  if ((asked & SLIRP_POLL_IN) != 0) events |= EPOLLIN;
  if ((asked & SLIRP_POLL_OUT) != 0) events |= EPOLLOUT;
  if ((asked & SLIRP_POLL_PRI) != 0) events |= EPOLLPRI;
  return events;
}

// As dup2(2), which a list of allowed calls that has fcntl(2) does without: this is the only
// thread.
bool take_place(int fd, int number) {
  ::close(number);
  return ::fcntl(fd, F_DUPFD_CLOEXEC, number) == number;
}

std::size_t descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return 65536;
  return limit.rlim_cur > 2 * kDescriptorsForOthers ? limit.rlim_cur - kDescriptorsForOthers
                                                    : limit.rlim_cur / 2;
}

}  // namespace

// What libslirp keeps pointers to.
struct SlirpEngine::Impl {
  Slirp* slirp = nullptr;
  SlirpCb callbacks{};
  sockaddr_in outbound4{};
  sockaddr_in6 outbound6{};
  bool has_outbound4 = false;
  bool has_outbound6 = false;
  guint log_handler = 0;
  NeighbourRing ring4;
  NeighbourRing ring6;
  std::optional<Ipv4Address> router;
  std::optional<Ipv6Address> router6;

  static SlirpEngine& engine(void* opaque) { return *static_cast<SlirpEngine*>(opaque); }

  static void log_line(const gchar* domain, GLogLevelFlags level, const gchar* text,
                       gpointer self) {
    SlirpEngine& engine = Impl::engine(self);
    (void)domain;
    if ((level & G_LOG_LEVEL_MASK) > G_LOG_LEVEL_WARNING) return;
    if (engine.log_limit_.allow(engine.loop_.now())) {
      engine.log_.warning("libslirp: {}", printable(text == nullptr ? "" : text));
    }
  }

  // Those that libslirp would wait for.
  std::set<int> descriptors() const {
    std::set<int> all;
    std::uint32_t timeout_ms = 0;
    slirp_pollfds_fill(
        slirp, &timeout_ms,
        [](int fd, int, void* to) noexcept {
          static_cast<std::set<int>*>(to)->insert(fd);
          return -1;
        },
        &all);
    return all;
  }

  // What finds no memory in one of them ends the process: libslirp knows no exceptions, and one
  // that went through it has left its list of sockets with an end that was none.
  void set_callbacks() {
    callbacks.send_packet = [](const void* bytes, std::size_t size,
                               void* opaque) noexcept -> ssize_t {
      // Its own buffer on its stack, const only in the signature.
      auto* octets = static_cast<std::uint8_t*>(const_cast<void*>(bytes));
      engine(opaque).sends({octets, size});
      return static_cast<ssize_t>(size);
    };
    callbacks.guest_error = [](const char* text, void* opaque) noexcept {
      log_line(nullptr, G_LOG_LEVEL_WARNING, text, opaque);
    };
    callbacks.clock_get_ns = [](void* opaque) -> std::int64_t {
      return engine(opaque).loop_.now().count();
    };
    // Its only timer sends router advertisements, which are not its business here.
    callbacks.timer_new_opaque = [](SlirpTimerId, void*, void* opaque) { return opaque; };
    callbacks.timer_free = [](void*, void*) {};
    callbacks.timer_mod = [](void*, std::int64_t, void*) {};
    callbacks.register_poll_fd = [](int fd, void* opaque) noexcept { engine(opaque).opened(fd); };
    callbacks.unregister_poll_fd = [](int fd, void* opaque) noexcept { engine(opaque).closed(fd); };
    callbacks.notify = [](void*) {};
    callbacks.init_completed = [](Slirp* made, void* opaque) {
      engine(opaque).impl_->slirp = made;
    };
  }
};

SlirpEngine::SlirpEngine(EventLoop& loop, Log& log, Observer& observer)
    : loop_(loop),
      log_(log),
      observer_(observer),
      impl_(std::make_unique<Impl>()),
      tick_(loop.prepare([this] { turn(); })),
      sockets_max_(descriptor_limit()) {}

SlirpEngine::~SlirpEngine() {
  if (impl_->slirp != nullptr) slirp_cleanup(impl_->slirp);
  if (impl_->log_handler != 0) g_log_remove_handler("Slirp", impl_->log_handler);
}

Result<std::unique_ptr<SlirpEngine>> SlirpEngine::create(const NetworkConfig& config,
                                                         EventLoop& loop, Log& log,
                                                         Observer& observer) {
  std::unique_ptr<SlirpEngine> self(new SlirpEngine(loop, log, observer));
  if (auto started = self->start(config); !started) return started.error();
  return self;
}

Result<void> SlirpEngine::start(const NetworkConfig& config) {
  epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_) {
    return Error{errno, fmt::format("epoll_create1: {}", std::strerror(errno))};
  }
  auto watch = loop_.watch(epoll_.get(), EPOLLIN, [this](std::uint32_t) { turn(); });
  if (!watch) return watch.error();
  watch_ = watch.take();

  Impl& impl = *impl_;
  impl.set_callbacks();
  impl.router = config.router;
  impl.router6 = config.router6;
  SlirpConfig slirp{};
  slirp.version = 4;
  slirp.in_enabled = config.subnet && config.router;
  if (slirp.in_enabled) {
    slirp.vnetwork = to_in_addr(config.subnet->network());
    slirp.vnetmask = to_in_addr(config.subnet->netmask());
    slirp.vhost = to_in_addr(*config.router);
    slirp.vnameserver = to_in_addr(config.dns_address.value_or(*config.router));
    slirp.vdhcp_start = to_in_addr(config.subnet->at(15));
  }
  slirp.in6_enabled = config.subnet6 && config.router6;
  if (slirp.in6_enabled) {
    slirp.vprefix_addr6 = to_in6_addr(config.subnet6->network());
    slirp.vprefix_len = static_cast<std::uint8_t>(config.subnet6->length);
    slirp.vhost6 = to_in6_addr(*config.router6);
    slirp.vnameserver6 = to_in6_addr(config.dns_address6.value_or(*config.router6));
  }
  slirp.if_mtu = kMtu;
  slirp.if_mru = kMtu;
  slirp.disable_dns = true;
  slirp.disable_dhcp = true;
  impl.has_outbound4 = !config.outbound_address.empty();
  impl.has_outbound6 = !config.outbound_address6.empty();
  if (auto set = set_outbound(config.outbound_address, config.outbound_address6); !set) return set;
  if (impl.has_outbound4) slirp.outbound_addr = &impl.outbound4;
  if (impl.has_outbound6) slirp.outbound_addr6 = &impl.outbound6;

  impl.log_handler =
      g_log_set_handler("Slirp", static_cast<GLogLevelFlags>(G_LOG_LEVEL_MASK | G_LOG_FLAG_FATAL),
                        &Impl::log_line, this);
  impl.slirp = slirp_new(&slirp, &impl.callbacks, this);
  if (impl.slirp == nullptr) {
    return Error{EINVAL, fmt::format("libslirp {} does not accept network {}: router {}, mask {}",
                                     slirp_version_string(), config.name,
                                     config.router ? config.router->text() : "none",
                                     config.subnet ? config.subnet->text() : "none")};
  }
  poll(false);
  fill();
  return {};
}

Result<void> SlirpEngine::set_outbound(const std::string& v4, const std::string& v6) {
  const auto address4 = Ipv4Address::parse(v4);
  const auto address6 = Ipv6Address::parse(v6);
  if ((!v4.empty() && !address4) || (!v6.empty() && !address6)) {
    return Error{EINVAL, fmt::format("\"{}\" is no address that outgoing connections can have",
                                     address4 || v4.empty() ? v6 : v4)};
  }
  if (impl_->has_outbound4 != !v4.empty() || impl_->has_outbound6 != !v6.empty()) {
    return Error{EBUSY,
                 "an outbound address can be changed while the network runs, but not be "
                 "added or taken away; restart the network"};
  }
  impl_->outbound4.sin_family = AF_INET;
  if (address4) impl_->outbound4.sin_addr = to_in_addr(*address4);
  impl_->outbound6.sin6_family = AF_INET6;
  if (address6) impl_->outbound6.sin6_addr = to_in6_addr(*address6);
  return {};
}

// Most batches have nothing for this engine, and to ask what it wants costs as much as to carry a
// frame.
void SlirpEngine::end_batch() {
  settle();
  observer_.engine_done();
  if (entered_) fill();
}

void SlirpEngine::input(const NatPacket& packet) {
  if (loop_.now() - polled_ > kClockSlack) poll(false);
  entered_ = true;
  NeighbourRing& ring = packet.v6 ? impl_->ring6 : impl_->ring4;
  if (!ring.knows(packet.key.guest, packet.mac)) answer(address_of(packet.key.guest), packet.mac);
  slirp_input(impl_->slirp, packet.frame.data(), static_cast<int>(packet.frame.size()));
}

void SlirpEngine::learned(const IpAddress& guest, MacAddress mac) {
  if (unknown_.erase(guest) == 0) return;
  answer(guest, mac);
  poll(false);
  end_batch();
}

void SlirpEngine::answer(const IpAddress& guest, MacAddress mac) {
  if (guest.is_v4() ? !impl_->router : !impl_->router6) return;
  const auto frame = guest.is_v4() ? arp_reply(guest.v4(), mac, *impl_->router)
                                   : neighbour_advertisement(guest.v6(), mac, *impl_->router6);
  (guest.is_v4() ? impl_->ring4 : impl_->ring6).add(address_key(guest), mac);
  entered_ = true;
  slirp_input(impl_->slirp, frame.data(), static_cast<int>(frame.size()));
}

void SlirpEngine::sends(std::span<std::uint8_t> frame) {
  const auto asked = neighbour_question(frame);
  if (asked) {
    wanted_.insert(*asked);
  } else if (!is_router_advertisement(frame)) {
    observer_.engine_sends(frame);
  }
}

// Answers what was asked for, and runs the queue of what waited for it. An answer can let packets
// go that ask for others; the rounds are bounded by what a batch can ask for.
void SlirpEngine::settle() {
  for (std::size_t round = 0; !wanted_.empty() && round < 1024; ++round) {
    std::size_t answered = 0;
    while (!wanted_.empty() && answered < kGuestsPerRun) {
      const IpAddress guest = *wanted_.begin();
      wanted_.erase(wanted_.begin());
      if (const auto mac = observer_.mac_of_guest(guest)) {
        answer(guest, *mac);
        ++answered;
      } else if (unknown_.size() < 1024) {
        unknown_.insert(guest);
        observer_.guest_wanted(guest);
      }
    }
    if (answered != 0) poll(false);
  }
}

void SlirpEngine::poll(bool with_sockets) {
  polled_ = loop_.now();
  entered_ = true;
  slirp_pollfds_poll(
      impl_->slirp, with_sockets ? 0 : 1,
      [](int index, void* opaque) noexcept { return Impl::engine(opaque).ready_events(index); },
      this);
}

void SlirpEngine::turn() {
  std::array<epoll_event, 256> events;
  const int count =
      ::epoll_pwait(epoll_.get(), events.data(), static_cast<int>(events.size()), 0, nullptr);
  for (int i = 0; i < count; ++i) {
    const auto fd = static_cast<std::size_t>(events[static_cast<std::size_t>(i)].data.fd);
    if (fd >= ready_.size()) ready_.resize(fd + 1);
    ready_[fd] = events[static_cast<std::size_t>(i)].events;
  }
  poll(true);
  for (int i = 0; i < count; ++i) {
    ready_[static_cast<std::size_t>(events[static_cast<std::size_t>(i)].data.fd)] = 0;
  }
  end_batch();
}

int SlirpEngine::ready_events(int fd) const {
  const auto at = static_cast<std::size_t>(fd);
  if (fd < 0 || at >= ready_.size() || ready_[at] == 0 || at >= descriptors_.size()) return 0;
  const std::uint32_t ready = ready_[at];
  const Descriptor& descriptor = descriptors_[at];
  if (!descriptor.known) return 0;  // closed and opened anew in this very poll
  int events = 0;
  if ((ready & EPOLLIN) != 0) events |= SLIRP_POLL_IN;
  if ((ready & EPOLLOUT) != 0) events |= SLIRP_POLL_OUT;
  if ((ready & EPOLLPRI) != 0) events |= SLIRP_POLL_PRI;
  if ((ready & EPOLLERR) != 0) events |= SLIRP_POLL_ERR;
  if ((ready & EPOLLHUP) != 0) events |= SLIRP_POLL_HUP;
  const bool reading = (descriptor.armed & EPOLLIN) != 0;
  int allowed = descriptor.asked;
  // To libslirp an error means "read"; it asserts that there is room to. Writing tells it, too.
  if (!reading && descriptor.read_before) allowed &= SLIRP_POLL_OUT;
  if (!reading) allowed &= ~(SLIRP_POLL_IN | SLIRP_POLL_PRI | SLIRP_POLL_HUP);
  return events & allowed;
}

void SlirpEngine::fill() {
  entered_ = false;
  ++round_;
  std::uint32_t timeout_ms = 1000;
  slirp_pollfds_fill(
      impl_->slirp, &timeout_ms,
      [](int fd, int asked, void* opaque) noexcept {
        return Impl::engine(opaque).add_poll(fd, asked);
      },
      this);
  // What was not asked for is not wanted.
  std::erase_if(armed_, [this](int fd) {
    Descriptor& descriptor = descriptors_[static_cast<std::size_t>(fd)];
    if (descriptor.round != round_) arm(fd, descriptor, 0);
    descriptor.listed = descriptor.armed != 0;
    return !descriptor.listed;
  });
  set_tick(timeout_ms);
}

int SlirpEngine::add_poll(int fd, int asked) {
  if (fd < 0) return -1;
  Descriptor& descriptor = this->descriptor(fd);
  if (!descriptor.known) {
    descriptor.known = true;
    int listening = 0;
    socklen_t size = sizeof listening;
    if (!descriptor.ours && ::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 &&
        listening != 0) {
      descriptor.listener = true;
      (void)::listen(fd, kBacklog);
      // A connection that is gone again when it is accepted must not stop everything.
      (void)::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
    }
  }
  descriptor.asked = asked;
  descriptor.round = round_;
  if ((asked & SLIRP_POLL_IN) != 0) descriptor.read_before = true;
  std::uint32_t events = epoll_events_of(asked);
  if (paused_ || (descriptor.listener && near_descriptor_limit())) events &= EPOLLOUT;
  arm(fd, descriptor, events);
  return fd;
}

SlirpEngine::Descriptor& SlirpEngine::descriptor(int fd) {
  const auto at = static_cast<std::size_t>(fd);
  if (at >= descriptors_.size()) descriptors_.resize(std::max(at + 1, descriptors_.size() * 2));
  return descriptors_[at];
}

// Without events it leaves the set: a hang-up would be reported for ever.
void SlirpEngine::arm(int fd, Descriptor& descriptor, std::uint32_t events) {
  if (descriptor.armed == events) return;
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  if (events == 0) {
    (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, &event);
  } else if (descriptor.armed == 0) {
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0 && errno == EEXIST) {
      (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
    }
    if (!descriptor.listed) armed_.push_back(fd);
    descriptor.listed = true;
  } else if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) != 0 && errno == ENOENT) {
    (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
  }
  descriptor.armed = events;
}

void SlirpEngine::opened(int fd) {
  if (fd < 0) return;
  Descriptor& descriptor = this->descriptor(fd);
  const bool listed = descriptor.listed;
  descriptor = Descriptor{};
  descriptor.listed = listed;
  descriptor.ours = true;
  ++open_sockets_;
  observer_.socket_opened(fd);
}

void SlirpEngine::closed(int fd) {
  if (fd < 0) return;
  Descriptor& descriptor = this->descriptor(fd);
  arm(fd, descriptor, 0);
  if (descriptor.ours) {
    --open_sockets_;
    observer_.socket_closed(fd);
  }
  const bool listed = descriptor.listed;
  descriptor = Descriptor{};
  descriptor.listed = listed;
}

void SlirpEngine::set_paused(bool paused) {
  if (paused_ == paused) return;
  paused_ = paused;
  fill();
}

void SlirpEngine::set_tick(std::uint32_t timeout_ms) {
  const Time at = loop_.now() + std::chrono::milliseconds(timeout_ms);
  // A tick that comes earlier than needed sets the next one right.
  if (tick_at_ <= at && tick_at_ > loop_.now()) return;
  tick_at_ = at;
  tick_.hurry(at - loop_.now());
}

int SlirpEngine::add_forward(const sockaddr* host, std::size_t host_size, const sockaddr* guest,
                             std::size_t guest_size, int flags) {
  errno = 0;
  const int result = slirp_add_hostxfwd(impl_->slirp, host, static_cast<socklen_t>(host_size),
                                        guest, static_cast<socklen_t>(guest_size), flags);
  const int code = result == 0 ? 0 : (errno != 0 ? errno : EINVAL);
  if (code == 0) fill();
  return code;
}

// libslirp listens only where it has bound itself, and its sandbox refuses it a Unix socket. So it
// binds some port of the loopback interface, and the listener takes that socket's place, under its
// number, before anything is accepted. To be removed by the listener's own name.
int SlirpEngine::add_forward(const UniqueFd& listener, const sockaddr* guest,
                             std::size_t guest_size) {
  const std::set<int> before = impl_->descriptors();
  sockaddr_in any{};
  any.sin_family = AF_INET;
  any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  errno = 0;
  if (slirp_add_hostxfwd(impl_->slirp, reinterpret_cast<const sockaddr*>(&any), sizeof any, guest,
                         static_cast<socklen_t>(guest_size), 0) != 0) {
    return errno != 0 ? errno : EINVAL;
  }
  int code = ENOTSUP;
  for (const int made : impl_->descriptors()) {
    if (before.contains(made)) continue;
    code = take_place(listener.get(), made) ? 0 : errno;
    if (code == 0) break;
    socklen_t size = sizeof any;
    ::getsockname(made, reinterpret_cast<sockaddr*>(&any), &size);
    (void)slirp_remove_hostxfwd(impl_->slirp, reinterpret_cast<const sockaddr*>(&any), size, 0);
  }
  fill();
  return code;
}

void SlirpEngine::remove_forward(const sockaddr* host, std::size_t host_size, int flags) {
  (void)slirp_remove_hostxfwd(impl_->slirp, host, static_cast<socklen_t>(host_size), flags);
  fill();
}

}  // namespace lanyard
