// SPDX-License-Identifier: MIT
#include "backend/gateway/dns_message.h"

#include <algorithm>
#include <array>

#include "switch/base/text.h"

namespace lanyard {
namespace {

constexpr std::size_t kLabelSizeMax = 63;
constexpr std::uint8_t kPointer = 0xc0;
constexpr std::size_t kPointerReach = 0x4000;

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

}  // namespace

DnsName::DnsName(std::string wire) : wire_(std::move(wire)), key_(wire_) {
  // Lengths are at most 63 and so never look like letters.
  std::transform(key_.begin(), key_.end(), key_.begin(), lower);
}

std::optional<DnsName> DnsName::parse(std::string_view text) {
  if (text == "." || text.empty()) return DnsName();
  if (text.back() == '.') text.remove_suffix(1);
  std::string wire;
  for (;;) {
    const std::size_t dot = std::min(text.find('.'), text.size());
    if (dot == 0 || dot > kLabelSizeMax) return std::nullopt;
    wire.push_back(static_cast<char>(dot));
    wire.append(text.substr(0, dot));
    if (dot == text.size()) break;
    text.remove_prefix(dot + 1);
  }
  wire.push_back('\0');
  if (wire.size() > kDnsNameSizeMax) return std::nullopt;
  return DnsName(std::move(wire));
}

std::optional<DnsName> DnsName::from_wire(std::string_view wire) {
  DnsReader reader({reinterpret_cast<const std::uint8_t*>(wire.data()), wire.size()});
  DnsName name = reader.name();
  if (!reader.ok() || name.wire() != wire) return std::nullopt;
  return name;
}

std::string DnsName::text() const {
  if (is_root()) return ".";
  std::string text;
  for (std::size_t at = 0; wire_[at] != '\0';) {
    if (!text.empty()) text.push_back('.');
    const std::size_t end = at + 1 + static_cast<std::uint8_t>(wire_[at]);
    for (++at; at < end; ++at) {
      const auto byte = static_cast<std::uint8_t>(wire_[at]);
      if (byte <= ' ' || byte >= 0x7f) {
        append(text, "\\{:03}", byte);
      } else {
        if (byte == '.' || byte == '\\' || byte == '"') text.push_back('\\');
        text.push_back(wire_[at]);
      }
    }
  }
  return text;
}

std::vector<std::string_view> DnsName::labels() const {
  std::vector<std::string_view> labels;
  for (std::size_t at = 0; key_[at] != '\0';) {
    const auto size = static_cast<std::uint8_t>(key_[at]);
    labels.push_back(std::string_view(key_).substr(at + 1, size));
    at += std::size_t{1} + size;
  }
  return labels;
}

DnsName DnsName::parent() const {
  if (is_root()) return {};
  return DnsName(wire_.substr(std::size_t{1} + static_cast<std::uint8_t>(wire_[0])));
}

bool DnsName::is_within(const DnsName& zone) const {
  if (!key_.ends_with(zone.key_)) return false;
  // The end must begin where a label begins.
  std::size_t at = 0;
  const std::size_t zone_at = key_.size() - zone.key_.size();
  while (at < zone_at) at += std::size_t{1} + static_cast<std::uint8_t>(key_[at]);
  return at == zone_at;
}

std::uint8_t DnsReader::byte() {
  const auto one = bytes(1);
  return one.empty() ? std::uint8_t{0} : one[0];
}

std::uint16_t DnsReader::word() {
  const auto two = bytes(2);
  return two.empty() ? std::uint16_t{0} : static_cast<std::uint16_t>(two[0] << 8 | two[1]);
}

std::uint32_t DnsReader::long_word() {
  const std::uint32_t high = word();
  return high << 16 | word();
}

std::span<const std::uint8_t> DnsReader::bytes(std::size_t count) {
  if (!ok_ || position_ > message_.size() || count > message_.size() - position_) {
    ok_ = false;
    return {};
  }
  const auto taken = message_.subspan(position_, count);
  position_ += count;
  return taken;
}

DnsName DnsReader::name() {
  std::string wire;
  std::size_t part = position_;  // a continuation must lie before this
  std::optional<std::size_t> after;
  for (;;) {
    const std::uint8_t size = byte();
    if (!ok_) return {};
    if ((size & kPointer) == kPointer) {
      const std::size_t target = std::size_t{size & 0x3fU} << 8 | byte();
      if (!after) after = position_;
      ok_ = ok_ && target < part;
      if (!ok_) return {};
      part = position_ = target;
      continue;
    }
    const auto label = bytes(size);
    // The two other kinds of label (RFC 1035 4.1.4) never came to be.
    ok_ = ok_ && (size & kPointer) == 0 && wire.size() + 1 + size <= kDnsNameSizeMax;
    if (!ok_) return {};
    wire.push_back(static_cast<char>(size));
    wire.append(label.begin(), label.end());
    if (size == 0) break;
  }
  if (after) position_ = *after;
  return DnsName(std::move(wire));
}

std::uint16_t DnsHeader::flags() const {
  const unsigned bits = unsigned{response} << 15 | (opcode & 0xfU) << 11 |
                        unsigned{authoritative} << 10 | unsigned{truncated} << 9 |
                        unsigned{recursion_desired} << 8 | unsigned{recursion_available} << 7 |
                        unsigned{authentic_data} << 5 | unsigned{checking_disabled} << 4 |
                        (static_cast<unsigned>(rcode) & 0xfU);
  return static_cast<std::uint16_t>(bits);
}

DnsHeader DnsHeader::from(std::uint16_t id, std::uint16_t flags) {
  const auto bit = [flags](int n) { return (flags >> n & 1) != 0; };
  return {id,
          bit(15),
          static_cast<std::uint8_t>(flags >> 11 & 0xf),
          bit(10),
          bit(9),
          bit(8),
          bit(7),
          bit(5),
          bit(4),
          static_cast<DnsRcode>(flags & 0xf)};
}

std::optional<IpAddress> DnsRecord::address() const {
  if (klass != kDnsClassIn) return std::nullopt;
  if (type == DnsType::a && data.size() == 4) {
    return IpAddress(Ipv4Address::from_bytes(data.first<4>()));
  }
  if (type == DnsType::aaaa && data.size() == 16) {
    Ipv6Address::Bytes octets{};
    std::copy(data.begin(), data.end(), octets.begin());
    return IpAddress(Ipv6Address(octets));
  }
  return std::nullopt;
}

namespace {

DnsHeader read_header(DnsReader& reader) {
  const std::uint16_t id = reader.word();
  return DnsHeader::from(id, reader.word());
}

DnsQuestion read_question(DnsReader& reader) {
  DnsQuestion question;
  question.name = reader.name();
  question.type = static_cast<DnsType>(reader.word());
  question.klass = reader.word();
  return question;
}

DnsRecord read_record(DnsReader& reader) {
  DnsRecord record;
  record.name = reader.name();
  record.type = static_cast<DnsType>(reader.word());
  record.klass = reader.word();
  record.ttl_s = reader.long_word();
  const std::uint16_t size = reader.word();
  record.data_offset = reader.position();
  record.data = reader.bytes(size);
  return record;
}

// In an OPT record the fields mean something else (RFC 6891 6.1.2). The size stands 8 bytes before
// the data: class, TTL, length.
DnsEdns edns_of(const DnsRecord& opt) {
  return {opt.klass, opt.data_offset - 8, static_cast<std::uint8_t>(opt.ttl_s >> 16),
          (opt.ttl_s & 0x8000) != 0};
}

}  // namespace

std::optional<DnsHead> parse_dns_head(std::span<const std::uint8_t> message) {
  if (message.size() < kDnsHeaderSize) return std::nullopt;
  DnsReader reader(message);
  DnsHead head;
  head.header = read_header(reader);
  head.questions = reader.word();
  reader.bytes(6);
  if (head.questions == 0) return head;
  DnsQuestion question = read_question(reader);
  if (reader.ok()) head.question = std::move(question);
  return head;
}

std::optional<DnsMessage> parse_dns_message(std::span<const std::uint8_t> bytes) {
  if (bytes.size() > kDnsMessageSizeMax) return std::nullopt;
  DnsReader reader(bytes);
  DnsMessage message;
  message.header = read_header(reader);
  const std::uint16_t questions = reader.word();
  std::array<std::uint16_t, 3> counts{};
  for (std::uint16_t& count : counts) count = reader.word();
  for (unsigned i = 0; i < questions && reader.ok(); ++i) {
    message.questions.push_back(read_question(reader));
  }
  const std::array sections{&message.answers, &message.authorities, &message.additionals};
  for (std::size_t section = 0; section < sections.size(); ++section) {
    for (unsigned i = 0; i < counts[section] && reader.ok(); ++i) {
      DnsRecord record = read_record(reader);
      if (!reader.ok()) break;
      if (record.type != DnsType::opt) {
        sections[section]->push_back(std::move(record));
        continue;
      }
      // One, in the last section, owned by the root (RFC 6891 6.1.1).
      if (message.edns || section != 2 || !record.name.is_root()) return std::nullopt;
      message.edns = edns_of(record);
    }
  }
  if (!reader.ok()) return std::nullopt;
  return message;
}

DnsWriter::DnsWriter(const DnsHeader& header) {
  bytes_.reserve(kDnsPlainUdpSize);
  put_word(header.id);
  put_word(header.flags());
  bytes_.resize(kDnsHeaderSize);
}

void DnsWriter::put_word(std::uint16_t value) {
  bytes_.push_back(static_cast<std::uint8_t>(value >> 8));
  bytes_.push_back(static_cast<std::uint8_t>(value));
}

void DnsWriter::put_long(std::uint32_t value) {
  put_word(static_cast<std::uint16_t>(value >> 16));
  put_word(static_cast<std::uint16_t>(value));
}

void DnsWriter::put_name(const DnsName& name) {
  std::string_view rest = name.wire();
  std::string_view key = name.key();
  while (rest.size() > 1) {
    const auto [place, is_new] =
        places_.try_emplace(std::string(key), static_cast<std::uint16_t>(bytes_.size()));
    if (!is_new) {
      put_word(static_cast<std::uint16_t>(kPointer << 8 | place->second));
      return;
    }
    if (bytes_.size() >= kPointerReach) places_.erase(place);
    const std::size_t size = std::size_t{1} + static_cast<std::uint8_t>(rest[0]);
    bytes_.insert(bytes_.end(), rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(size));
    rest.remove_prefix(size);
    key.remove_prefix(size);
  }
  bytes_.push_back(0);
}

void DnsWriter::count(std::size_t at) {
  if (++bytes_[at + 1] == 0) ++bytes_[at];
}

void DnsWriter::question(const DnsQuestion& question) {
  put_name(question.name);
  put_word(static_cast<std::uint16_t>(question.type));
  put_word(question.klass);
  count(4);
}

std::size_t DnsWriter::begin_record(Section section, const DnsName& owner, DnsType type,
                                    std::uint32_t ttl_s) {
  put_name(owner);
  put_word(static_cast<std::uint16_t>(type));
  put_word(kDnsClassIn);
  put_long(ttl_s);
  put_word(0);
  count(6 + 2 * static_cast<std::size_t>(section));
  return bytes_.size() - 2;
}

void DnsWriter::end_record(std::size_t length_at) {
  const std::size_t size = bytes_.size() - length_at - 2;
  bytes_[length_at] = static_cast<std::uint8_t>(size >> 8);
  bytes_[length_at + 1] = static_cast<std::uint8_t>(size);
}

void DnsWriter::address(Section section, const DnsName& owner, std::uint32_t ttl_s,
                        const IpAddress& value) {
  const std::size_t at =
      begin_record(section, owner, value.is_v4() ? DnsType::a : DnsType::aaaa, ttl_s);
  const auto put = [this](const auto& octets) {
    bytes_.insert(bytes_.end(), octets.begin(), octets.end());
  };
  value.is_v4() ? put(value.v4().bytes()) : put(value.v6().bytes());
  end_record(at);
}

void DnsWriter::name(Section section, const DnsName& owner, DnsType type, std::uint32_t ttl_s,
                     const DnsName& value) {
  const std::size_t at = begin_record(section, owner, type, ttl_s);
  put_name(value);
  end_record(at);
}

void DnsWriter::soa(const DnsName& owner, const DnsName& server, std::uint32_t ttl_s) {
  const std::size_t at = begin_record(Section::authority, owner, DnsType::soa, ttl_s);
  put_name(server);
  put_name(*DnsName::parse("nobody.invalid"));
  for (const std::uint32_t field : {1U, 3600U, 1200U, 604800U}) put_long(field);
  put_long(ttl_s);
  end_record(at);
}

void DnsWriter::edns(std::uint16_t udp_size, bool dnssec_ok, std::uint8_t extended_rcode) {
  bytes_.push_back(0);
  put_word(static_cast<std::uint16_t>(DnsType::opt));
  put_word(udp_size);
  put_long(std::uint32_t{extended_rcode} << 24 | (dnssec_ok ? 0x8000U : 0U));
  put_word(0);
  count(10);
}

}  // namespace lanyard
