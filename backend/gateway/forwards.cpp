// SPDX-License-Identifier: MIT
#include "backend/gateway/forwards.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "switch/base/text.h"
#include "switch/base/transient_error.h"
#include "switch/base/unix_socket.h"
#include "switch/network/port_holder.h"

namespace lanyard {
namespace {

const char* word(Transport transport) {
  return transport == Transport::tcp ? "TCP" : "UDP";
}

bool is_any(const IpAddress& address) {
  return address.is_v4() ? address.v4().is_unspecified() : address.v6().is_unspecified();
}

bool passes(int code) {
  return is_transient(code) || code == EMFILE || code == ENFILE || code == ETIMEDOUT;
}

bool ports_meet(const ForwardConfig& a, const ForwardConfig& b) {
  return a.host_port < b.host_port + b.ports && b.host_port < a.host_port + a.ports;
}

// Whether both cannot listen at once.
bool conflict(const ForwardConfig& a, const ForwardConfig& b) {
  if (!a.unix_path.empty() || !b.unix_path.empty()) return a.unix_path == b.unix_path;
  if (a.transport != b.transport || !ports_meet(a, b)) return false;
  if (a.host_address.is_v4() != b.host_address.is_v4()) return false;
  return a.host_address == b.host_address || is_any(a.host_address) || is_any(b.host_address);
}

std::string listen_text(const ForwardConfig& config, std::uint16_t port) {
  if (!config.unix_path.empty()) return config.unix_path;
  const std::string address = config.host_address.is_v4()
                                  ? config.host_address.text()
                                  : fmt::format("[{}]", config.host_address.text());
  return fmt::format("{}:{}", address, config.host_port + port);
}

struct LocalName {
  IpAddress address;
  std::uint16_t port = 0;
  std::string path;
};

std::optional<LocalName> local_name(int fd) {
  sockaddr_storage name{};
  socklen_t size = sizeof name;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size) != 0) return std::nullopt;
  LocalName result;
  if (name.ss_family == AF_INET) {
    sockaddr_in in{};
    std::memcpy(&in, &name, sizeof in);
    result.address = Ipv4Address::from_number(ntohl(in.sin_addr.s_addr));
    result.port = ntohs(in.sin_port);
  } else if (name.ss_family == AF_INET6) {
    sockaddr_in6 in{};
    std::memcpy(&in, &name, sizeof in);
    Ipv6Address::Bytes octets{};
    std::copy_n(in.sin6_addr.s6_addr, octets.size(), octets.begin());
    result.address = Ipv6Address(octets);
    result.port = ntohs(in.sin6_port);
  } else if (name.ss_family == AF_UNIX) {
    sockaddr_un un{};
    std::memcpy(&un, &name, sizeof un);
    result.path.assign(un.sun_path, ::strnlen(un.sun_path, sizeof un.sun_path));
  }
  return result;
}

}  // namespace

void Forwards::close_all() {
  for (auto& [name, entry] : entries_) close(entry);
}

Result<void> Forwards::check(const ForwardConfig& config) const {
  const bool unix_socket = !config.unix_path.empty();
  if (unix_socket && (config.transport != Transport::tcp || config.ports != 1)) {
    return Error{EINVAL,
                 fmt::format("forward {}: a Unix socket carries one TCP port", config.name)};
  }
  if (config.unix_path.size() > kSocketPathMax) {
    return Error{ENAMETOOLONG, fmt::format("forward {}: {} is longer than the {} bytes that the "
                                           "name of a socket can have",
                                           config.name, config.unix_path, kSocketPathMax)};
  }
  const auto beyond = [&](std::uint16_t port) { return port == 0 || port + config.ports > 65536; };
  if (config.ports == 0 || beyond(config.guest_port) ||
      (!unix_socket && beyond(config.host_port))) {
    return Error{EINVAL,
                 fmt::format("forward {}: ports {} and {}, {} of each, are not all within "
                             "1 to 65535",
                             config.name, config.host_port, config.guest_port, config.ports)};
  }
  for (const auto& [name, entry] : entries_) {
    if (!conflict(entry.config, config)) continue;
    return Error{EADDRINUSE,
                 fmt::format("forward {}: {} is taken by forward {}; choose another port or delete "
                             "that one",
                             config.name, listen_text(config, 0), name)};
  }
  return {};
}

Result<IpAddress> Forwards::resolve(const ForwardConfig& config) const {
  const auto literal = IpAddress::parse(config.guest);
  const bool unix_socket = !config.unix_path.empty();
  const auto suits = [&](const IpAddress& guest) {
    const bool inside = guest.is_v4() ? subnet_ && subnet_->contains(guest.v4())
                                      : subnet6_ && subnet6_->contains(guest.v6());
    return inside && (unix_socket ? guest.is_v4() : guest.is_v4() == config.host_address.is_v4());
  };
  if (literal) {
    if (suits(*literal)) return *literal;
    return Error{EINVAL, fmt::format("forward {}: guest {} is {}", config.name, config.guest,
                                     unix_socket || literal->is_v4() == config.host_address.is_v4()
                                         ? "not in the network"
                                         : "not of the family of the host's address: IPv4 leads to "
                                           "IPv4, IPv6 to IPv6")};
  }
  for (const IpAddress& address : directory_.addresses_of(config.guest)) {
    if (suits(address)) return address;
  }
  return Error{EAGAIN, fmt::format("waits for a guest called {}", printable(config.guest))};
}

Result<void> Forwards::open(Entry& entry) {
  const ForwardConfig& config = entry.config;
  auto guest = resolve(config);
  if (!guest) {
    entry.is_due = false;
    entry.problem = guest.error().text;
    return guest.error();
  }
  for (std::uint16_t port = 0; port < config.ports; ++port) {
    const int code = engine_.listen(config, port, guest.value());
    if (code == 0) continue;
    Error error = cannot_listen(config, port, code);
    while (port-- > 0) engine_.unlisten(config, port);
    entry.is_due = passes(code);
    entry.problem = error.text;
    return error;
  }
  entry.is_due = false;
  entry.guest = guest.value();
  entry.problem.clear();
  return {};
}

void Forwards::close(Entry& entry) {
  if (!entry.guest) return;
  for (std::uint16_t port = 0; port < entry.config.ports; ++port) {
    engine_.unlisten(entry.config, port);
  }
  entry.guest.reset();
}

Error Forwards::cannot_listen(const ForwardConfig& config, std::uint16_t port, int code) const {
  const std::string where = listen_text(config, port);
  const auto number = static_cast<std::uint16_t>(config.host_port + port);
  if (code == EADDRINUSE && config.unix_path.empty()) {
    const PortSocket holder = port_socket(config.transport, number);
    return {code,
            fmt::format("forward {}: {} port {} is taken{}; choose another port, or stop "
                        "what has it ({} shows it)",
                        config.name, word(config.transport), where,
                        holder.inode == 0 ? std::string()
                                          : fmt::format(" by a process of user {}", holder.uid),
                        config.transport == Transport::tcp ? "ss -ltnp" : "ss -lunp")};
  }
  if (code == EADDRINUSE) {
    return {code, fmt::format("forward {}: somebody listens at {} already", config.name, where)};
  }
  if (code == EACCES && config.unix_path.empty() && number < 1024) {
    return {code, fmt::format("forward {}: only root may listen at {}; choose a port from 1024 up, "
                              "or allow it to all with: sysctl "
                              "net.ipv4.ip_unprivileged_port_start={}",
                              config.name, where, number)};
  }
  if (code == EADDRNOTAVAIL) {
    return {code, fmt::format("forward {}: the host has no address {}; 0.0.0.0 and :: mean all",
                              config.name, config.host_address.text())};
  }
  return {code, fmt::format("forward {}: cannot listen at {}: {}", config.name, where,
                            std::strerror(code))};
}

Result<void> Forwards::add(const ForwardConfig& config) {
  if (entries_.contains(config.name)) {
    return Error{EADDRINUSE, fmt::format("there is a forward called {} already", config.name)};
  }
  if (auto checked = check(config); !checked) return checked;
  Entry entry{config, std::nullopt, {}};
  auto opened = open(entry);
  if (!opened && opened.error().code != EAGAIN) return opened;
  entries_.emplace(config.name, std::move(entry));
  return {};
}

void Forwards::add_wanted(const ForwardConfig& config) {
  if (entries_.contains(config.name)) return;
  Entry entry{config, std::nullopt, {}};
  auto checked = check(config);
  if (checked) checked = open(entry);
  if (!checked) entry.problem = checked.error().text;
  entries_.emplace(config.name, std::move(entry));
}

Result<void> Forwards::remove(std::string_view name) {
  const auto found = entries_.find(name);
  if (found == entries_.end()) {
    return Error{ENOENT, fmt::format("there is no forward called {}", printable(name))};
  }
  close(found->second);
  entries_.erase(found);
  return {};
}

void Forwards::reconfigure(const std::vector<ForwardConfig>& before,
                           const std::vector<ForwardConfig>& wanted) {
  const auto stays = [&](const ForwardConfig& forward) {
    return std::find(wanted.begin(), wanted.end(), forward) != wanted.end();
  };
  for (const ForwardConfig& forward : before) {
    if (!stays(forward)) (void)remove(forward.name);
  }
  for (const ForwardConfig& forward : wanted) {
    const auto found = entries_.find(forward.name);
    if (found != entries_.end() && found->second.config != forward) (void)remove(forward.name);
    add_wanted(forward);
  }
}

void Forwards::guests_changed() {
  for (auto& [name, entry] : entries_) entry.is_due = true;
  try_again();
}

bool Forwards::wants_retry() const {
  return std::any_of(entries_.begin(), entries_.end(),
                     [](const auto& named) { return named.second.is_due; });
}

void Forwards::try_again() {
  for (auto& [name, entry] : entries_) {
    if (!entry.is_due) continue;
    auto guest = resolve(entry.config);
    if (guest && entry.guest && guest.value() == *entry.guest) {
      entry.is_due = false;
      continue;
    }
    close(entry);
    (void)open(entry);
  }
}

std::vector<ForwardStatus> Forwards::status() const {
  std::vector<ForwardStatus> rows;
  for (const auto& [name, entry] : entries_) {
    rows.push_back({entry.config, entry.guest.has_value(), entry.problem, 0});
  }
  return rows;
}

std::string Forwards::name_of_socket(int fd) const {
  const auto local = local_name(fd);
  if (!local) return {};
  for (const auto& [name, entry] : entries_) {
    const ForwardConfig& config = entry.config;
    if (!entry.guest || config.transport != Transport::tcp) continue;
    if (!config.unix_path.empty()) {
      if (config.unix_path == local->path) return name;
      continue;
    }
    const bool here = is_any(config.host_address)
                          ? config.host_address.is_v4() == local->address.is_v4()
                          : config.host_address == local->address;
    if (here && local->path.empty() && local->port >= config.host_port &&
        local->port < config.host_port + config.ports) {
      return name;
    }
  }
  return {};
}

}  // namespace lanyard
