// SPDX-License-Identifier: MIT
#include "backend/gateway/dns_reply.h"

#include <algorithm>

namespace lanyard {
namespace {

constexpr std::uint8_t kBadVersion = 16;  // BADVERS: the upper part is in the OPT record

DnsHeader reply_header(const DnsHeader& query, DnsRcode rcode) {
  DnsHeader header;
  header.id = query.id;
  header.response = true;
  header.opcode = query.opcode;
  header.recursion_desired = query.recursion_desired;
  header.recursion_available = true;
  header.checking_disabled = query.checking_disabled;
  header.rcode = rcode;
  return header;
}

// Header, question and, if the asker speaks EDNS, the OPT record.
std::vector<std::uint8_t> bare_reply(const DnsMessage& query, const DnsHeader& header,
                                     std::uint8_t extended_rcode = 0) {
  DnsWriter writer(header);
  for (const DnsQuestion& question : query.questions) writer.question(question);
  if (query.edns) writer.edns(kDnsUdpSizeMax, query.edns->dnssec_ok, extended_rcode);
  return writer.take();
}

}  // namespace

std::size_t dns_udp_size_of(const DnsMessage& query) {
  if (!query.edns) return kDnsPlainUdpSize;
  return std::clamp<std::size_t>(query.edns->udp_size, kDnsPlainUdpSize, kDnsUdpSizeMax);
}

std::vector<std::uint8_t> make_dns_reply(const DnsMessage& query, const DnsAnswer& answer,
                                         std::size_t size_max) {
  DnsHeader header = reply_header(query.header, answer.rcode);
  if (query.edns && query.edns->version != 0) {
    header.rcode = DnsRcode::no_error;
    return bare_reply(query, header, kBadVersion >> 4);
  }
  header.authoritative = true;
  DnsWriter writer(header);
  for (const DnsQuestion& question : query.questions) writer.question(question);
  for (const DnsAnswer::Record& record : answer.records) {
    if (const auto* const address = std::get_if<IpAddress>(&record.value)) {
      writer.address(DnsWriter::Section::answer, record.owner, answer.ttl_s, *address);
    } else {
      writer.name(DnsWriter::Section::answer, record.owner, DnsType::ptr, answer.ttl_s,
                  std::get<DnsName>(record.value));
    }
  }
  if (answer.records.empty() && answer.zone) {
    writer.soa(*answer.zone, *answer.zone, answer.ttl_s);
  }
  if (query.edns) writer.edns(kDnsUdpSizeMax, query.edns->dnssec_ok);
  if (writer.size() > size_max) return make_dns_truncated(query, header);
  return writer.take();
}

std::vector<std::uint8_t> make_dns_error(const DnsMessage& query, DnsRcode rcode) {
  return bare_reply(query, reply_header(query.header, rcode));
}

std::vector<std::uint8_t> make_dns_error(const DnsHead& query, DnsRcode rcode) {
  DnsWriter writer(reply_header(query.header, rcode));
  // An error about one of several questions repeats none.
  if (query.questions == 1 && query.question) writer.question(*query.question);
  return writer.take();
}

std::vector<std::uint8_t> make_dns_truncated(const DnsMessage& query, const DnsHeader& reply) {
  DnsHeader header = reply;
  header.id = query.header.id;
  header.truncated = true;
  return bare_reply(query, header);
}

}  // namespace lanyard
