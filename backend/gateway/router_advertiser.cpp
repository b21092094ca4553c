// SPDX-License-Identifier: MIT
#include "backend/gateway/router_advertiser.h"

#include <algorithm>
#include <string>

#include "backend/gateway/dns_message.h"

namespace lanyard {
namespace {

constexpr std::uint8_t kAdvertisement = 134;
constexpr std::uint8_t kHopLimit = 64;
constexpr std::uint8_t kOptionSourceLinkLayer = 1;
constexpr std::uint8_t kOptionPrefix = 3;
constexpr std::uint8_t kOptionMtu = 5;
constexpr std::uint8_t kOptionDnsServers = 25;
constexpr std::uint8_t kOptionDnsSearch = 31;
constexpr std::uint8_t kOnLink = 0x80;
constexpr std::uint8_t kAutonomous = 0x40;
constexpr unsigned kAutonomousLength = 64;  // what hosts make addresses from (RFC 2464 4)
constexpr std::size_t kOptionUnit = 8;
constexpr std::size_t kSearchSizeMax = 1024;  // of the names; nobody has so many

constexpr std::uint32_t kMtuMin = 1280;  // RFC 8200 5; a smaller one would be ignored

Ipv6Address all_nodes() {
  return *Ipv6Address::parse("ff02::1");
}

MacAddress all_nodes_mac() {
  return MacAddress::from_number(0x333300000001);
}

class Body {
 public:
  void byte(std::uint8_t value) { bytes_.push_back(value); }
  void word(std::uint16_t value) {
    byte(static_cast<std::uint8_t>(value >> 8));
    byte(static_cast<std::uint8_t>(value));
  }
  void long_word(std::uint32_t value) {
    word(static_cast<std::uint16_t>(value >> 16));
    word(static_cast<std::uint16_t>(value));
  }
  template <typename Bytes>
  void bytes(const Bytes& more) {
    bytes_.insert(bytes_.end(), more.begin(), more.end());
  }
  // An option; what `fill` puts into it is padded, and its length (RFC 4861 4.6) set.
  template <typename Fill>
  void option(std::uint8_t type, Fill fill) {
    const std::size_t start = bytes_.size();
    word(static_cast<std::uint16_t>(type << 8));
    fill();
    while ((bytes_.size() - start) % kOptionUnit != 0) byte(0);
    bytes_[start + 1] = static_cast<std::uint8_t>((bytes_.size() - start) / kOptionUnit);
  }
  std::vector<std::uint8_t> take() { return std::move(bytes_); }

 private:
  std::vector<std::uint8_t> bytes_;
};

// The names of option 31, one after the other.
std::string search_names(const NetworkConfig& config) {
  std::vector<std::string> texts = config.dhcp.search;
  if (!config.domain.empty()) texts.insert(texts.begin(), config.domain);
  std::vector<DnsName> names;
  std::string wire;
  for (const std::string& text : texts) {
    const auto name = DnsName::parse(text);
    if (!name || name->is_root() || std::find(names.begin(), names.end(), *name) != names.end() ||
        wire.size() + name->wire().size() > kSearchSizeMax) {
      continue;
    }
    wire += name->wire();
    names.push_back(*name);
  }
  return wire;
}

}  // namespace

Ipv6Address link_local_of(MacAddress mac) {
  const auto m = mac.bytes();
  return Ipv6Address(Ipv6Address::Bytes{0xfe, 0x80, 0, 0, 0, 0, 0, 0,
                                        static_cast<std::uint8_t>(m[0] ^ 0x02), m[1], m[2], 0xff,
                                        0xfe, m[3], m[4], m[5]});
}

RouterAdvertiser::RouterAdvertiser(const NetworkConfig& config, MacAddress mac, GuestLink& link,
                                   std::function<std::uint32_t()> random, Time now)
    : config_(config), mac_(mac), link_(link), random_(std::move(random)) {
  restart(now);
}

bool RouterAdvertiser::makes_sense(const NetworkConfig& config) {
  return config.kind == NetworkKind::nat && config.subnet6 && config.router6;
}

void RouterAdvertiser::restart(Time now) {
  initial_left_ = kInitialAdvertisements;
  deadline_ = advertises() ? now : Time::max();
}

RouterAdvertiser::Lifetimes RouterAdvertiser::lifetimes() const {
  Lifetimes lifetimes;
  if (!default_router_) lifetimes.router_s = 0;
  return lifetimes;
}

std::vector<std::uint8_t> RouterAdvertiser::body(const NetworkConfig& config,
                                                 const Lifetimes& lifetimes) const {
  Body body;
  body.byte(kAdvertisement);
  body.byte(0);
  body.word(0);  // checksum
  body.byte(kHopLimit);
  body.byte(0);  // no DHCPv6, medium preference
  body.word(lifetimes.router_s);
  body.long_word(0);  // reachable and retransmission times: the guest's own
  body.long_word(0);
  body.option(kOptionSourceLinkLayer, [&] { body.bytes(mac_.bytes()); });
  if (config.mtu >= kMtuMin) {
    body.option(kOptionMtu, [&] {
      body.word(0);
      body.long_word(config.mtu);
    });
  }
  body.option(kOptionPrefix, [&] {
    const unsigned length = config.subnet6->length;
    body.byte(static_cast<std::uint8_t>(length));
    body.byte(length == kAutonomousLength ? kOnLink | kAutonomous : kOnLink);
    body.long_word(lifetimes.valid_s);
    body.long_word(lifetimes.preferred_s);
    body.long_word(0);
    body.bytes(config.subnet6->network().bytes());
  });
  if (config.dns.enabled && config.dns_address6) {
    body.option(kOptionDnsServers, [&] {
      body.word(0);
      body.long_word(lifetimes.dns_s);
      body.bytes(config.dns_address6->bytes());
    });
  }
  if (const std::string names = search_names(config); !names.empty()) {
    body.option(kOptionDnsSearch, [&] {
      body.word(0);
      body.long_word(lifetimes.dns_s);
      body.bytes(names);
    });
  }
  return body.take();
}

void RouterAdvertiser::send(MacAddress mac, const Ipv6Address& destination,
                            const NetworkConfig& config, const Lifetimes& lifetimes) {
  link_.send_icmp6(mac, link_local_of(mac_), destination, body(config, lifetimes));
}

void RouterAdvertiser::on_solicitation(MacAddress from, const Ipv6Address& source, Time now) {
  if (!advertises() || from.is_group() || source.is_multicast()) return;
  if (now - window_start_ >= std::chrono::seconds(1)) {
    window_start_ = now;
    answered_in_window_ = 0;
  }
  if (answered_in_window_ >= kAnswersPerSecond) {
    deadline_ = std::min(deadline_, window_start_ + std::chrono::seconds(1));
    return;
  }
  ++answered_in_window_;
  send(from, source.is_unspecified() ? all_nodes() : source, config_, lifetimes());
}

void RouterAdvertiser::on_time(Time now) {
  if (now < deadline_) return;
  send(all_nodes_mac(), all_nodes(), config_, lifetimes());
  if (initial_left_ > 0 && --initial_left_ > 0) {
    deadline_ = now + kInitialInterval;
    return;
  }
  const auto spread_ms = static_cast<std::uint32_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(kIntervalMax - kIntervalMin).count());
  deadline_ = now + kIntervalMin + std::chrono::milliseconds(random_() % (spread_ms + 1));
}

void RouterAdvertiser::reconfigure(const NetworkConfig& config, Time now) {
  if (config == config_) return;
  const bool goes_on = makes_sense(config);
  // What guests must not use any more. The addresses they have stay valid for what is open.
  if (advertises() &&
      (!goes_on || config.subnet6 != config_.subnet6 ||
       config.dns_address6 != config_.dns_address6 || config.dns.enabled != config_.dns.enabled)) {
    const std::uint16_t router_s = goes_on ? lifetimes().router_s : std::uint16_t{0};
    send(all_nodes_mac(), all_nodes(), config_, {router_s, 0, 0, 0});
  }
  config_ = config;
  restart(now);
}

void RouterAdvertiser::set_default_router(bool on, Time now) {
  if (default_router_ == on) return;
  default_router_ = on;
  restart(now);
}

void RouterAdvertiser::shut_down() {
  if (!advertises()) return;
  Lifetimes last = lifetimes();
  last.router_s = 0;
  last.dns_s = 0;
  send(all_nodes_mac(), all_nodes(), config_, last);
  deadline_ = Time::max();
}

}  // namespace lanyard
