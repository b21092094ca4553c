// SPDX-License-Identifier: MIT
//
// DNS messages (RFC 1035 4, EDNS0 as RFC 6891): names, a reader that knows how many bytes there
// are, and a writer.
//
// What makes it hard: a name may continue at any earlier place of the message. Here a continuation
// must lie before the part of the name that names it, so every chain of them ends, and a name has
// 255 bytes at most however it is put together. Names compare without regard to case, and hold
// whatever bytes they like, dots and zeros included. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "switch/network/ip_address.h"

namespace lanyard {

constexpr std::size_t kDnsHeaderSize = 12;
constexpr std::size_t kDnsNameSizeMax = 255;
constexpr std::size_t kDnsMessageSizeMax = 65535;
constexpr std::size_t kDnsPlainUdpSize = 512;  // without EDNS

enum class DnsType : std::uint16_t {
  a = 1,
  ns = 2,
  cname = 5,
  soa = 6,
  ptr = 12,
  txt = 16,
  aaaa = 28,
  opt = 41,
  ixfr = 251,
  axfr = 252,
  any = 255,
};

enum class DnsRcode : std::uint8_t {
  no_error = 0,
  format_error = 1,
  server_failure = 2,
  name_error = 3,  // NXDOMAIN
  not_implemented = 4,
  refused = 5,
};

constexpr std::uint16_t kDnsClassIn = 1;

class DnsName {
 public:
  DnsName() : wire_(1, '\0'), key_(wire_) {}  // the root
  // "www.example.org", with or without a dot behind; no escapes. "" and "." are the root.
  static std::optional<DnsName> parse(std::string_view text);
  // Uncompressed, with the root's zero at its end.
  static std::optional<DnsName> from_wire(std::string_view wire);

  const std::string& wire() const { return wire_; }  // the letters as they came
  const std::string& key() const { return key_; }    // the same in lower case
  // For people: without the dot behind; what is not plain in a label is \DDD (RFC 1035 5.1).
  std::string text() const;

  bool is_root() const { return wire_.size() == 1; }
  std::vector<std::string_view> labels() const;  // in lower case, the leftmost first
  // The name less its leftmost label; the root's is the root.
  DnsName parent() const;
  // Whether it is `zone` or ends in it.
  bool is_within(const DnsName& zone) const;
  friend bool operator==(const DnsName& a, const DnsName& b) { return a.key_ == b.key_; }

 private:
  friend class DnsReader;
  explicit DnsName(std::string wire);

  std::string wire_;
  std::string key_;
};

// Reads from the front. Past the end, or after anything that cannot be, it gives zeros and ok() is
// false for good.
class DnsReader {
 public:
  explicit DnsReader(std::span<const std::uint8_t> message, std::size_t position = 0)
      : message_(message), position_(position) {}

  bool ok() const { return ok_; }
  std::size_t position() const { return position_; }
  std::uint8_t byte();
  std::uint16_t word();
  std::uint32_t long_word();
  std::span<const std::uint8_t> bytes(std::size_t count);
  DnsName name();

 private:
  std::span<const std::uint8_t> message_;
  std::size_t position_;
  bool ok_ = true;
};

struct DnsHeader {
  std::uint16_t id = 0;
  bool response = false;
  std::uint8_t opcode = 0;  // 0: QUERY
  bool authoritative = false;
  bool truncated = false;
  bool recursion_desired = false;
  bool recursion_available = false;
  bool authentic_data = false;
  bool checking_disabled = false;
  DnsRcode rcode = DnsRcode::no_error;  // or a number that has no name here

  std::uint16_t flags() const;
  static DnsHeader from(std::uint16_t id, std::uint16_t flags);
};

struct DnsQuestion {
  DnsName name;
  DnsType type = DnsType::a;
  std::uint16_t klass = kDnsClassIn;
  friend bool operator==(const DnsQuestion&, const DnsQuestion&) = default;
};

struct DnsRecord {
  DnsName name;
  DnsType type = DnsType::a;
  std::uint16_t klass = kDnsClassIn;
  std::uint32_t ttl_s = 0;
  std::size_t data_offset = 0;  // in the message, for names inside the data
  std::span<const std::uint8_t> data;

  std::optional<IpAddress> address() const;  // of an A or AAAA record
};

struct DnsEdns {
  std::uint16_t udp_size = 0;
  std::size_t udp_size_offset = 0;  // where that stands in the message
  std::uint8_t version = 0;
  bool dnssec_ok = false;
};

// Views into the message that was parsed.
struct DnsMessage {
  DnsHeader header;
  std::vector<DnsQuestion> questions;
  std::vector<DnsRecord> answers;
  std::vector<DnsRecord> authorities;
  std::vector<DnsRecord> additionals;  // OPT excepted
  std::optional<DnsEdns> edns;
};

// The header, the number of questions and the first one of them, if it can be read. What follows is
// not looked at.
struct DnsHead {
  DnsHeader header;
  std::uint16_t questions = 0;
  std::optional<DnsQuestion> question;
};

std::optional<DnsHead> parse_dns_head(std::span<const std::uint8_t> message);
// All of it. Bytes behind the last record are let pass.
std::optional<DnsMessage> parse_dns_message(std::span<const std::uint8_t> message);

class DnsWriter {
 public:
  enum class Section : std::uint8_t { answer, authority, additional };

  explicit DnsWriter(const DnsHeader& header);

  // In the order of the message: questions, then sections as they are listed.
  void question(const DnsQuestion& question);
  void address(Section section, const DnsName& owner, std::uint32_t ttl_s, const IpAddress& value);
  // CNAME, PTR, NS.
  void name(Section section, const DnsName& owner, DnsType type, std::uint32_t ttl_s,
            const DnsName& value);
  // `ttl_s` also as the time that negative answers are good for (RFC 2308 4).
  void soa(const DnsName& owner, const DnsName& server, std::uint32_t ttl_s);
  void edns(std::uint16_t udp_size, bool dnssec_ok, std::uint8_t extended_rcode = 0);

  std::size_t size() const { return bytes_.size(); }
  std::vector<std::uint8_t> take() { return std::move(bytes_); }

 private:
  void put_word(std::uint16_t value);
  void put_long(std::uint32_t value);
  void put_name(const DnsName& name);
  // The place of the data's length, for end_record().
  std::size_t begin_record(Section section, const DnsName& owner, DnsType type,
                           std::uint32_t ttl_s);
  void end_record(std::size_t length_at);
  void count(std::size_t at);

  std::vector<std::uint8_t> bytes_;
  std::map<std::string, std::uint16_t> places_;  // of names written, by key
};

}  // namespace lanyard
