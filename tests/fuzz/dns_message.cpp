// SPDX-License-Identifier: MIT
//
// DNS as guests and resolvers may send it: a message read whole, and a name server that gets
// queries and replies in any order and at any time. The input is a series of steps: what, how long,
// bytes.
#include <set>
#include <vector>

#include "backend/gateway/dns_forwarder.h"
#include "tests/fuzz/plain_text.h"

namespace lanyard::fuzz {
namespace {

class NoGuests final : public GuestDirectory {
 public:
  std::vector<IpAddress> addresses_of(std::string_view) const override { return {}; }
  std::optional<std::string> name_of(const IpAddress&) const override { return std::nullopt; }
  std::optional<MacAddress> mac_of(const IpAddress&) const override { return std::nullopt; }
};

void check_message(std::span<const std::uint8_t> bytes) {
  const auto head = parse_dns_head(bytes);
  const auto message = parse_dns_message(bytes);
  if (!message) return;
  require(head.has_value(), "a whole message has a head");
  for (const DnsQuestion& question : message->questions) {
    const DnsName& name = question.name;
    require(name.wire().size() <= kDnsNameSizeMax, "a name is bounded");
    require(DnsName::from_wire(name.wire()) == name, "a name can be written and read");
    require(name.is_within(name.parent()), "a name lies within what is above it");
    for (const char c : name.text()) require(c > ' ' && c < 0x7f, "a name can be printed");
  }
  if (message->edns) {
    const std::size_t at = message->edns->udp_size_offset;
    require(at + 8 <= bytes.size() && (bytes[at] << 8 | bytes[at + 1]) == message->edns->udp_size,
            "the size of EDNS stands where it is said to");
  }
  DnsAnswer answer;
  for (const DnsRecord& record : message->answers) {
    answer.records.push_back({record.name, record.name});
  }
  const auto reply = make_dns_reply(*message, answer, 1232);
  const auto again = parse_dns_message(reply);
  require(again.has_value(), "what is written can be read");
  require(again->questions == message->questions, "and says the same");
  require(again->header.truncated || again->answers.size() == answer.records.size() ||
              (message->edns && message->edns->version != 0),
          "with all records, or it says that it was cut");
}

class World final : public DnsOutlet {
 public:
  World()
      : forwarder_(network(), {guests_, *this,
                               [this](const DnsForwarder::Asker& asker,
                                      std::span<const std::uint8_t> reply) { check(asker, reply); },
                               [this] { return random_++; }, log_}) {
    forwarder_.set_resolvers(
        parse_resolv_conf("nameserver 192.0.2.1\nnameserver 192.0.2.2\noptions rotate\n"));
  }

  Result<void> send(DnsAttemptId attempt, const ResolverAddress&, Transport,
                    std::span<const std::uint8_t> query) override {
    require(parse_dns_message(query).has_value(), "only what is a query is passed on");
    if (++sent_ % 7 == 0) return Error{101, "Network is unreachable"};
    open_.insert(attempt);
    return {};
  }
  void close(DnsAttemptId attempt) override { open_.erase(attempt); }

  void step(Input& input) {
    const std::uint8_t what = input.byte();
    now_ += std::chrono::milliseconds(10 * input.byte());
    if (forwarder_.next_deadline() <= now_) forwarder_.on_time(now_);
    const auto bytes = input.bytes(input.byte());
    switch (what % 4) {
      case 0: {
        DnsForwarder::Asker asker;
        asker.connection = what >> 6;
        if (asker.connection == 0) asker.guest = MacAddress::from_number(what);
        const std::size_t before = replies_ + forwarder_.status().pending;
        const bool will = forwarder_.query(asker, bytes, now_);
        const bool more = replies_ + forwarder_.status().pending > before;
        // A duplicate is answered with the one that it repeats.
        require(more ? will : !will || forwarder_.counters().duplicates != 0,
                "a query is answered, or is said not to be");
        break;
      }
      case 1:
        if (!open_.empty()) reply(bytes);
        break;
      case 2:
        if (!open_.empty()) forwarder_.on_failure(*open_.begin(), "Connection refused", now_);
        break;
      default: forwarder_.forget_connection(what >> 6 | 1); break;
    }
  }

  void finish() {
    for (int i = 0; i < 100; ++i) {
      now_ += std::chrono::seconds(1);
      forwarder_.on_time(now_);
    }
    require(open_.empty() && forwarder_.status().pending == 0, "everything ends");
    require(forwarder_.next_deadline() == Time::max(), "and nothing is waited for");
  }

 private:
  static NetworkConfig network() {
    NetworkConfig config;
    config.domain = "lan";
    config.subnet = Ipv4Prefix::parse("10.0.2.0/24");
    config.subnet6 = Ipv6Prefix::parse("fd00::/64");
    return config;
  }
  void check(const DnsForwarder::Asker& asker, std::span<const std::uint8_t> reply) {
    ++replies_;
    require(reply.size() >= kDnsHeaderSize && (reply[2] & 0x80) != 0, "a reply is a reply");
    require(asker.connection != 0 || reply.size() <= kDnsUdpSizeMax, "and fits");
  }
  void reply(std::span<const std::uint8_t> bytes) {
    // As it is, or with an ID that was used, so that more of it is looked at.
    std::vector<std::uint8_t> message(bytes.begin(), bytes.end());
    if (message.size() > 2 && message[0] == 0) message[1] %= 16;
    forwarder_.on_reply(*open_.begin(), message, now_);
  }

  NoGuests guests_;
  PlainLog log_;
  Time now_ = std::chrono::seconds(1000);
  std::uint16_t random_ = 0;
  std::size_t sent_ = 0;
  std::size_t replies_ = 0;
  std::set<DnsAttemptId> open_;
  DnsForwarder forwarder_;
};

}  // namespace
}  // namespace lanyard::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace lanyard::fuzz;
  const std::span<const std::uint8_t> bytes(data, size);
  // A copy of exactly this size: a read past its end is caught.
  check_message(std::vector<std::uint8_t>(bytes.begin(), bytes.end()));
  World world;
  for (Input input(bytes); !input.empty();) world.step(input);
  world.finish();
  return 0;
}
