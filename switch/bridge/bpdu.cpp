// SPDX-License-Identifier: MIT
#include "switch/bridge/bpdu.h"

#include <algorithm>

#include "switch/base/text.h"

namespace lanyard {
namespace {

constexpr std::uint64_t kBridgeGroup = 0x0180c2000000;
constexpr std::uint64_t kLlc = 0x424203;  // 802.2: the bridges' SAP twice, unnumbered information
constexpr std::size_t kLlcSize = 3;
constexpr std::size_t kTcnSize = 4;
constexpr std::size_t kConfigurationSize = 35;
constexpr std::size_t kRapidSize = 36;
constexpr std::size_t kFrameMin = 60;

// BPDU types (9.3) and the version of RST BPDUs; a later version is read as this one (9.3.4).
constexpr std::uint8_t kTypeConfiguration = 0x00;
constexpr std::uint8_t kTypeTcn = 0x80;
constexpr std::uint8_t kTypeRapid = 0x02;
constexpr std::uint8_t kVersionRapid = 2;

// Flags (9.3.3).
constexpr std::uint8_t kTopologyChange = 0x01;
constexpr std::uint8_t kProposal = 0x02;
constexpr unsigned kRoleShift = 2;
constexpr std::uint8_t kRoleMask = 3;
constexpr std::uint8_t kLearning = 0x10;
constexpr std::uint8_t kForwarding = 0x20;
constexpr std::uint8_t kAgreement = 0x40;
constexpr std::uint8_t kAcknowledgment = 0x80;

constexpr std::uint8_t kCodeAlternate = 1;
constexpr std::uint8_t kCodeRoot = 2;
constexpr std::uint8_t kCodeDesignated = 3;

// Ours, behind the BPDU and outside of the length, where Ethernet has padding.
constexpr std::uint16_t kNumbersMark = 0x4c59;

// What FSTP announces always, and what stands for its missing forward delay: the least that goes
// with its maximum age (17.14: 2 * (delay - 1 s) >= max age).
constexpr TreeTimes kFstpTimes{0, 40 * 256, 4 * 256, 0};
constexpr std::uint16_t kFstpForwardDelay = 21 * TreeTimes::kSecond;

// Reads numbers in network order and knows where the bytes end; past the end everything is 0.
class Reader {
 public:
  explicit Reader(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}

  std::uint64_t take(std::size_t octets) {
    std::uint64_t value = 0;
    if (octets > bytes_.size()) bytes_ = {};
    for (const std::uint8_t octet : bytes_.first(std::min(octets, bytes_.size()))) {
      value = value << 8 | octet;
    }
    bytes_ = bytes_.subspan(std::min(octets, bytes_.size()));
    return value;
  }
  std::uint8_t u8() { return static_cast<std::uint8_t>(take(1)); }
  std::uint16_t u16() { return static_cast<std::uint16_t>(take(2)); }
  std::uint32_t u32() { return static_cast<std::uint32_t>(take(4)); }
  std::size_t left() const { return bytes_.size(); }
  void limit(std::size_t octets) { bytes_ = bytes_.first(std::min(octets, bytes_.size())); }

 private:
  std::span<const std::uint8_t> bytes_;
};

PortRole role_of(std::uint8_t code) {
  switch (code) {
    case kCodeAlternate: return PortRole::alternate;
    case kCodeRoot: return PortRole::root;
    case kCodeDesignated: return PortRole::designated;
    default: return PortRole::disabled;
  }
}

std::uint8_t code_of(PortRole role, bool fstp) {
  switch (role) {
    case PortRole::root: return fstp ? kCodeAlternate : kCodeRoot;
    case PortRole::designated: return kCodeDesignated;
    case PortRole::alternate:
    case PortRole::backup: return fstp ? kCodeRoot : kCodeAlternate;
    case PortRole::disabled: break;
  }
  return 0;
}

void read_flags(Bpdu& bpdu, std::uint8_t flags) {
  bpdu.topology_change = (flags & kTopologyChange) != 0;
  bpdu.acknowledgment = (flags & kAcknowledgment) != 0;
  if (bpdu.kind != Bpdu::Kind::rapid) return;
  bpdu.proposal = (flags & kProposal) != 0;
  bpdu.role = role_of(flags >> kRoleShift & kRoleMask);
  bpdu.learning = (flags & kLearning) != 0;
  bpdu.forwarding = (flags & kForwarding) != 0;
  bpdu.agreement = (flags & kAgreement) != 0;
}

std::uint8_t flags_of(const Bpdu& bpdu) {
  unsigned flags = 0;
  if (bpdu.topology_change) flags |= kTopologyChange;
  if (bpdu.acknowledgment) flags |= kAcknowledgment;
  if (bpdu.kind == Bpdu::Kind::rapid) {
    const bool blocked = bpdu.role == PortRole::alternate || bpdu.role == PortRole::backup;
    if (bpdu.fstp ? blocked : bpdu.proposal) flags |= kProposal;
    flags |= static_cast<unsigned>(code_of(bpdu.role, bpdu.fstp)) << kRoleShift;
    if (bpdu.learning) flags |= kLearning;
    if (bpdu.forwarding) flags |= kForwarding;
    if (bpdu.agreement) flags |= kAgreement;
  }
  return static_cast<std::uint8_t>(flags);
}

std::optional<Bpdu::Numbers> read_numbers(Reader padding) {
  if (padding.u16() != kNumbersMark || padding.left() < 4) return std::nullopt;
  const std::uint16_t said = padding.u16();
  return Bpdu::Numbers{said, padding.u16()};
}

bool is_fstp(const Bpdu& bpdu) {
  TreeTimes times = bpdu.times;
  times.message_age = 0;
  return bpdu.kind == Bpdu::Kind::rapid && times == kFstpTimes;
}

// What the dialect means, in the standard's terms.
void translate_fstp(Bpdu& bpdu) {
  bpdu.fstp = true;
  bpdu.proposal = false;
  bpdu.acknowledgment = false;
  if (bpdu.role == PortRole::root) {
    // A blocked port. When it hears of a worse root it offers the one it knows, without agreement,
    // and forwards once that is taken.
    bpdu.role = bpdu.agreement ? PortRole::alternate : PortRole::designated;
    bpdu.proposal = !bpdu.agreement;
  } else if (bpdu.role == PortRole::alternate) {
    bpdu.role = PortRole::root;
  }
  bpdu.times.forward_delay = kFstpForwardDelay;
}

}  // namespace

std::string BridgeId::text() const {
  return fmt::format("{:02x}:{:02x}:{}", priority() >> 8, priority() & 0xff, mac().text());
}

std::optional<Bpdu> decode_bpdu(std::span<const std::uint8_t> bytes) {
  Reader reader(bytes);
  const std::size_t length = reader.u16();
  if (length < kLlcSize + kTcnSize || reader.left() < length) return std::nullopt;
  Reader padding = reader;
  padding.take(length);
  reader.limit(length);
  if (reader.take(kLlcSize) != kLlc) return std::nullopt;
  const std::size_t size = reader.left();
  if (reader.u16() != 0) return std::nullopt;  // the protocol
  const std::uint8_t version = reader.u8();
  const std::uint8_t type = reader.u8();
  Bpdu bpdu;
  if (type == kTypeTcn) {
    bpdu.kind = Bpdu::Kind::topology_change_notification;
    return bpdu;
  }
  if (type == kTypeConfiguration && size >= kConfigurationSize) {
    bpdu.kind = Bpdu::Kind::configuration;
  } else if (type != kTypeRapid || version < kVersionRapid || size < kRapidSize) {
    return std::nullopt;
  }
  read_flags(bpdu, reader.u8());
  bpdu.priority.root = {reader.take(8)};
  bpdu.priority.cost = reader.u32();
  bpdu.priority.bridge = {reader.take(8)};
  bpdu.priority.port = reader.u16();
  bpdu.times.message_age = reader.u16();
  bpdu.times.max_age = reader.u16();
  bpdu.times.hello = reader.u16();
  bpdu.times.forward_delay = reader.u16();
  // 9.3.4 a): not to be believed any more.
  if (bpdu.kind == Bpdu::Kind::configuration && bpdu.times.message_age >= bpdu.times.max_age) {
    return std::nullopt;
  }
  if (bpdu.kind == Bpdu::Kind::rapid) bpdu.numbers = read_numbers(padding);
  if (is_fstp(bpdu)) translate_fstp(bpdu);
  return bpdu;
}

BpduFrame::BpduFrame(const Bpdu& bpdu, MacAddress source) {
  const bool tcn = bpdu.kind == Bpdu::Kind::topology_change_notification;
  const bool rapid = bpdu.kind == Bpdu::Kind::rapid;
  const std::size_t body = tcn ? kTcnSize : rapid ? kRapidSize : kConfigurationSize;
  put(kBridgeGroup, MacAddress::kSize);
  put(source.number(), MacAddress::kSize);
  put(kLlcSize + body, 2);
  put(kLlc, kLlcSize);
  put(0, 2);
  put(rapid ? kVersionRapid : 0, 1);
  put(tcn ? kTypeTcn : rapid ? kTypeRapid : kTypeConfiguration, 1);
  if (!tcn) put_body(bpdu);
  if (bpdu.fstp) return;
  if (rapid && bpdu.numbers) {
    put(kNumbersMark, 2);
    put(bpdu.numbers->said, 2);
    put(bpdu.numbers->heard, 2);
  }
  size_ = kFrameMin;
}

void BpduFrame::put_body(const Bpdu& bpdu) {
  TreeTimes times = bpdu.times;
  if (bpdu.fstp) {
    times = kFstpTimes;
    times.message_age = bpdu.times.message_age;
  }
  put(flags_of(bpdu), 1);
  put(bpdu.priority.root.number, 8);
  put(bpdu.priority.cost, 4);
  put(bpdu.priority.bridge.number, 8);
  put(bpdu.priority.port, 2);
  put(times.message_age, 2);
  put(times.max_age, 2);
  put(times.hello, 2);
  put(times.forward_delay, 2);
  if (bpdu.kind == Bpdu::Kind::rapid) put(0, 1);  // no version 1 information
}

void BpduFrame::put(std::uint64_t value, std::size_t octets) {
  for (std::size_t i = octets; i-- != 0;) {
    bytes_[size_++] = static_cast<std::uint8_t>(value >> (8 * i));
  }
}

}  // namespace lanyard
