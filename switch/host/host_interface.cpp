// SPDX-License-Identifier: MIT
#include "switch/host/host_interface.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <pwd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "switch/base/fd.h"
#include "switch/base/text.h"
#include "switch/frame/fixed_mac.h"
#include "switch/host/overlap.h"
#include "switch/host/sysctl.h"

namespace lanyard {
namespace {

constexpr std::string_view kAliasStart = "lanyard network ";
constexpr std::string_view kAliasPid = " pid ";
constexpr std::string_view kAliasMade = "made";
constexpr std::string_view kAliasAdded = "added";
constexpr std::string_view kUp = "up";
constexpr std::string_view kMtu = "mtu=";

struct Prefix {
  IpAddress address;
  unsigned length;
};

std::optional<Prefix> parse_prefix(std::string_view text) {
  if (const auto v4 = Ipv4Prefix::parse(text)) return Prefix{v4->address, v4->length};
  if (const auto v6 = Ipv6Prefix::parse(text)) return Prefix{v6->address, v6->length};
  return std::nullopt;
}

// Nobody has it attached, and its alias is one of ours.
std::optional<InterfaceAlias> leftover(const LinkInfo& link) {
  auto alias = InterfaceAlias::parse(link.alias);
  if (!alias || link.carrier || link.kind != "tun") return std::nullopt;
  return alias;
}

// Undoes what an alias tells; what is gone already is no matter. False without the right to.
bool undo(Netlink& netlink, int index, const InterfaceAlias& alias) {
  if (alias.made && netlink.delete_link(index).ok()) return true;
  for (auto step = alias.added.rbegin(); step != alias.added.rend(); ++step) {
    if (*step == kUp) {
      static_cast<void>(netlink.set_up(index, false));
    } else if (step->starts_with(kMtu)) {
      const auto before = parse_integer(std::string_view(*step).substr(kMtu.size()));
      if (before) static_cast<void>(netlink.set_mtu(index, static_cast<std::uint32_t>(*before)));
    } else if (const auto prefix = parse_prefix(*step)) {
      static_cast<void>(netlink.delete_address(index, prefix->address, prefix->length));
    }
  }
  return netlink.set_alias(index, {}).ok();
}

}  // namespace

std::string InterfaceAlias::text() const {
  std::string text = fmt::format("{}{}{}{}", kAliasStart, network, kAliasPid, pid);
  if (made || !added.empty()) text += ':';
  if (made) append(text, " {}", kAliasMade);
  if (!added.empty()) append(text, " {}", kAliasAdded);
  for (const std::string& step : added) append(text, " {}", step);
  return text;
}

std::optional<InterfaceAlias> InterfaceAlias::parse(std::string_view text) {
  if (!text.starts_with(kAliasStart)) return std::nullopt;
  text.remove_prefix(kAliasStart.size());
  const std::size_t pid_at = text.find(kAliasPid);
  if (pid_at == std::string_view::npos || pid_at == 0) return std::nullopt;
  InterfaceAlias alias;
  alias.network = text.substr(0, pid_at);
  text.remove_prefix(pid_at + kAliasPid.size());
  const std::size_t colon = std::min(text.find(':'), text.size());
  const auto pid = parse_integer(text.substr(0, colon));
  if (!pid || *pid <= 0) return std::nullopt;
  alias.pid = static_cast<long>(*pid);
  if (colon == text.size()) return alias;
  for (const std::string_view word : split_words(text.substr(colon + 1))) {
    if (word == kAliasMade) {
      alias.made = true;
    } else if (word != kAliasAdded) {
      alias.added.emplace_back(word);
    }
  }
  return alias;
}

HostInterface::HostInterface(const NetworkConfig& network, Netlink netlink, Log& log)
    : config_(*network.host), netlink_(std::move(netlink)), log_(log) {
  alias_.network = network.name;
  alias_.pid = ::getpid();
}

Result<std::unique_ptr<HostInterface>> HostInterface::claim(const NetworkConfig& network,
                                                            Log& log) {
  if (!network.host) {
    return Error{EINVAL, fmt::format("network {} has no host interface", network.name)};
  }
  if (Result<void> free = check_overlap(network); !free) return free.error();
  Result<Netlink> netlink = Netlink::open();
  if (!netlink) return netlink.error();
  std::unique_ptr<HostInterface> made(new HostInterface(network, netlink.take(), log));
  if (Result<void> done = made->look_at_what_is_there(); !done) return done.error();
  if (!made->prepared_ && !network.host->owner.empty()) {
    if (Result<void> done = made->make_for_owner(); !done) return done.error();
  }
  return made;
}

// What was changed for it the alias says; one that has none was right as it was.
Result<std::unique_ptr<HostInterface>> HostInterface::resume(const NetworkConfig& network,
                                                             Log& log) {
  Result<Netlink> netlink = Netlink::open();
  if (!netlink) return netlink.error();
  std::unique_ptr<HostInterface> made(new HostInterface(network, netlink.take(), log));
  const Result<LinkInfo> link = made->netlink_.link(made->config_.name);
  if (!link) return link.error();
  made->index_ = link.value().index;
  const auto alias = InterfaceAlias::parse(link.value().alias);
  if (!alias || alias->network != network.name) {
    made->prepared_ = true;
    return made;
  }
  made->prepared_ = !alias->added.empty();
  made->alias_.made = alias->made;
  made->alias_.added = alias->added;
  if (Result<void> written = made->write_alias(); !written) return written.error();
  return made;
}

Result<void> HostInterface::look_at_what_is_there() {
  Result<LinkInfo> link = netlink_.link(config_.name);
  if (!link && link.error().code == ENODEV) return {};
  if (!link) return link.error();
  if (link.value().kind != "tun") {
    return Error{EEXIST, fmt::format("{} is there and no TAP interface. Choose another name for "
                                     "the host's interface in network {}",
                                     printable(config_.name), alias_.network)};
  }
  const auto alias = InterfaceAlias::parse(link.value().alias);
  if (alias && link.value().carrier && alias->pid != alias_.pid) {
    return Error{EBUSY, fmt::format("{} serves network {} of process {}", printable(config_.name),
                                    printable(alias->network), alias->pid)};
  }
  if (const auto left = leftover(link.value())) {
    if (undo(netlink_, link.value().index, *left)) {
      log_.notice("{} was left by process {}, which has ended; cleared away", config_.name,
                  left->pid);
    }
    prepared_ = netlink_.link(config_.name).ok();
    return {};
  }
  prepared_ = true;
  return {};
}

// A TAP belongs to its owner only through the descriptor that made it.
Result<void> HostInterface::make_for_owner() {
  errno = 0;
  const passwd* const user = ::getpwnam(config_.owner.c_str());
  const auto number = parse_integer(config_.owner);
  if (user == nullptr && !number) {
    return Error{EINVAL, fmt::format("{}: there is no user {} to own it", printable(config_.name),
                                     printable(config_.owner))};
  }
  const auto uid = user != nullptr ? user->pw_uid : static_cast<uid_t>(*number);
  const UniqueFd fd(::open("/dev/net/tun", O_RDWR | O_CLOEXEC));
  if (!fd) return explain({errno, std::strerror(errno)}, "/dev/net/tun");
  ifreq request{};
  if (config_.name.size() >= IFNAMSIZ) {
    return Error{EINVAL, fmt::format("{}: an interface name has at most {} characters",
                                     printable(config_.name), IFNAMSIZ - 1)};
  }
  std::memcpy(request.ifr_name, config_.name.data(), config_.name.size());
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  if (::ioctl(fd.get(), TUNSETIFF, &request) != 0 || ::ioctl(fd.get(), TUNSETOWNER, uid) != 0 ||
      ::ioctl(fd.get(), TUNSETPERSIST, 1) != 0) {
    return explain({errno, std::strerror(errno)}, "making it");
  }
  alias_.made = true;
  Result<LinkInfo> link = netlink_.link(config_.name);
  if (!link) return link.error();
  index_ = link.value().index;
  if (Result<void> done = write_alias(); !done) return explain(done.error(), "its alias");
  Result<void> done = netlink_.set_mac(index_, fixed_mac(config_.name));
  if (!done) return explain(done.error(), "its address");
  return {};
}

Result<void> HostInterface::set_up() {
  Result<LinkInfo> link = netlink_.link(config_.name);
  if (!link) return link.error();
  index_ = link.value().index;
  if (!prepared_) {
    if (Result<void> done = write_alias(); !done) return explain(done.error(), "its alias");
    set_interface_sysctl("ipv6", config_.name, "disable_ipv6", config_.address6 ? "0" : "");
  }
  set_interface_sysctl("ipv6", config_.name, "accept_ra", "0");
  if (Result<void> done = bring_mtu(link.value()); !done) return done;
  if (Result<void> done = bring_addresses(); !done) return done;
  if (link.value().up) return {};
  Result<void> done = note(std::string(kUp));
  if (done) done = netlink_.set_up(index_, true);
  if (!done) return explain(done.error(), "bringing it up");
  return {};
}

Result<void> HostInterface::bring_mtu(const LinkInfo& link) {
  if (link.mtu == config_.mtu) return {};
  Result<void> done = note(fmt::format("{}{}", kMtu, link.mtu));
  if (done) done = netlink_.set_mtu(index_, config_.mtu);
  if (!done) return explain(done.error(), fmt::format("its MTU of {}", config_.mtu));
  return {};
}

Result<void> HostInterface::bring_addresses() {
  const Result<std::vector<AddressInfo>> there = netlink_.addresses();
  if (!there) return there.error();
  if (config_.address) {
    Result<void> done =
        bring_address(there.value(), config_.address->address, config_.address->length);
    if (!done) return done;
  }
  if (config_.address6) {
    return bring_address(there.value(), config_.address6->address, config_.address6->length);
  }
  return {};
}

Result<void> HostInterface::bring_address(const std::vector<AddressInfo>& there,
                                          const IpAddress& address, unsigned length) {
  const bool has = std::any_of(there.begin(), there.end(), [&](const AddressInfo& info) {
    return info.interface_index == index_ && info.address == address && info.length == length;
  });
  if (has) return {};
  const std::string text = fmt::format("{}/{}", address.text(), length);
  Result<void> done = note(text);
  if (done) done = netlink_.add_address(index_, address, length);
  if (!done) return explain(done.error(), fmt::format("address {}", text));
  return {};
}

// Written before it is done: what was noted and not done is undone without harm.
Result<void> HostInterface::note(std::string done) {
  if (!prepared_) return {};  // it goes as a whole
  alias_.added.push_back(std::move(done));
  Result<void> written = write_alias();
  if (!written) alias_.added.pop_back();
  return written;
}

Result<void> HostInterface::write_alias() {
  Result<void> done = netlink_.set_alias(index_, alias_.text());
  has_alias_ = has_alias_ || done.ok();
  return done;
}

HostInterface::~HostInterface() {
  if (!has_alias_ && !alias_.made) return;
  const Result<LinkInfo> link = netlink_.link(config_.name);
  // Gone with its descriptor, or somebody else's by now.
  if (!link || link.value().index != index_) return;
  if (prepared_ || alias_.made) {
    undo(netlink_, index_, alias_);
    return;
  }
  // The TAP goes when the last descriptor is closed; until then it shall not be in anybody's way.
  InterfaceAlias all = alias_;
  all.added.emplace_back(kUp);
  if (config_.address) all.added.push_back(config_.address->text());
  if (config_.address6) all.added.push_back(config_.address6->text());
  undo(netlink_, index_, all);
}

void HostInterface::clean_up(Log& log) {
  Result<Netlink> netlink = Netlink::open();
  if (!netlink) return;
  const Result<std::vector<LinkInfo>> links = netlink.value().links();
  if (!links) return;
  for (const LinkInfo& link : links.value()) {
    const auto left = leftover(link);
    if (!left) continue;
    if (!undo(netlink.value(), link.index, *left)) continue;
    log.notice("{} was left by process {} of network {}; cleared away", printable(link.name),
               left->pid, printable(left->network));
  }
}

Error HostInterface::explain(const Error& error, std::string_view what) const {
  std::string text =
      fmt::format("network {}: {}: {}: {}", alias_.network, config_.name, what, error.text);
  if (error.code == EPERM) {
    append(text,
           ". It needs CAP_NET_ADMIN, or an interface that an administrator has prepared:\n{}",
           preparation(config_, "$USER"));
  }
  return {error.code, std::move(text)};
}

std::string HostInterface::preparation(const HostInterfaceConfig& config, std::string_view user) {
  std::string lines = fmt::format("  ip tuntap add dev {} mode tap user {}\n", config.name, user);
  if (config.address) {
    append(lines, "  ip address add {} dev {}\n", config.address->text(), config.name);
  }
  if (config.address6) {
    append(lines, "  ip address add {} dev {} nodad\n", config.address6->text(), config.name);
  }
  append(lines, "  ip link set {} mtu {} up", config.name, config.mtu);
  return lines;
}

}  // namespace lanyard
