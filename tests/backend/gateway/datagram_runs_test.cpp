// SPDX-License-Identifier: MIT
#include "backend/gateway/datagram_runs.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <string>

namespace lanyard {
namespace {

using Bytes = std::vector<std::uint8_t>;

// What the kernel makes of a message.
std::vector<Bytes> cut(const DatagramRuns& runs, const DatagramRuns::Run& run) {
  std::vector<iovec> parts;
  runs.append_parts(run, parts);
  EXPECT_EQ(parts.size(), run.pieces);
  Bytes all;
  for (const iovec& part : parts) {
    const auto* const bytes = static_cast<const std::uint8_t*>(part.iov_base);
    all.insert(all.end(), bytes, bytes + part.iov_len);
  }
  EXPECT_EQ(all.size(), run.bytes);
  if (run.count == 1) return {all};
  std::vector<Bytes> datagrams;
  for (std::size_t at = 0; at < all.size(); at += run.segment_size) {
    const auto size = std::min(run.segment_size, all.size() - at);
    const auto first = all.begin() + static_cast<std::ptrdiff_t>(at);
    datagrams.emplace_back(first, first + static_cast<std::ptrdiff_t>(size));
  }
  EXPECT_EQ(datagrams.size(), run.count);
  return datagrams;
}

TEST(DatagramRuns, GrowAsLongAsTheirDatagramsAreEqual) {
  struct Row {
    std::vector<std::size_t> sizes;
    std::vector<std::size_t> runs;  // how many of them are in each
  };
  const Row rows[] = {
      {{100, 100, 100}, {3}},
      {{100, 100, 40}, {3}},
      {{100, 40, 40}, {2, 1}},
      {{100, 40, 100}, {2, 1}},
      {{40, 100, 100}, {1, 2}},
      {{0, 0, 10, 0}, {1, 1, 1, 1}},
      {{30000, 30000, 30000}, {2, 1}},
      {{65507, 1}, {1, 1}},
      {std::vector<std::size_t>(130, 9), {64, 64, 2}},
  };
  for (const Row& row : rows) {
    DatagramRuns runs;
    UdpFlow flow;
    const Bytes bytes(65507, 1);
    for (const std::size_t size : row.sizes) runs.add(flow, std::span(bytes).first(size), 0, {});
    std::vector<std::size_t> counts;
    for (const auto& run : runs.runs()) counts.push_back(run.count);
    EXPECT_EQ(counts, row.runs);
  }
}

TEST(DatagramRuns, EndWhereTheWayIsAnother) {
  DatagramRuns runs;
  UdpFlow flow;
  const Bytes bytes(100);
  runs.add(flow, bytes, 0, {64, false});
  runs.add(flow, bytes, 0, {63, false});
  runs.add(flow, bytes, 0, {63, true});
  flow.run_segment_max = 99;
  runs.add(flow, bytes, 0, {63, true});
  EXPECT_EQ(runs.runs().size(), 4U);
  // And with the batch.
  flow.run_segment_max = 100;
  runs.clear();
  EXPECT_TRUE(runs.empty());
  runs.add(flow, bytes, 0, {63, true});
  EXPECT_EQ(runs.runs().size(), 1U);
  EXPECT_EQ(runs.runs()[0].count, 1U);
}

// Each flow's datagrams come out as they went in, whatever was between.
RC_GTEST_PROP(DatagramRuns, KeepEveryDatagramOfEveryFlow, ()) {
  constexpr std::size_t kFlows = 3;
  UdpFlow flows[kFlows];
  DatagramRuns runs;
  for (int round = 0; round < 2; ++round) {
    std::vector<Bytes> in[kFlows];
    std::vector<Bytes> out[kFlows];
    std::vector<Bytes> kept;  // what the runs point to
    kept.reserve(200);
    const auto count = *rc::gen::inRange<std::size_t>(0, 200);
    for (std::size_t i = 0; i < count; ++i) {
      const auto flow = *rc::gen::inRange<std::size_t>(0, kFlows);
      const auto size = *rc::gen::element<std::size_t>(0, 1, 2, 99, 100, 100, 100, 1472, 9000);
      const auto step = *rc::gen::element<std::size_t>(0, 0, 0, 1, 33, 100);
      Bytes& bytes = kept.emplace_back(size);
      for (std::size_t k = 0; k < size; ++k) bytes[k] = static_cast<std::uint8_t>(i * 7 + k);
      runs.add(flows[flow], bytes, step, {});
      if (step == 0 || size <= step) in[flow].push_back(bytes);
      for (std::size_t at = 0; step != 0 && size > step && at < size; at += step) {
        const auto first = bytes.begin() + static_cast<std::ptrdiff_t>(at);
        in[flow].emplace_back(first,
                              first + static_cast<std::ptrdiff_t>(std::min(step, size - at)));
      }
    }
    for (const auto& run : runs.runs()) {
      RC_ASSERT(run.count <= DatagramRuns::kSegmentsMax);
      RC_ASSERT(run.bytes <= DatagramRuns::kBytesMax);
      for (Bytes& datagram : cut(runs, run)) {
        out[run.flow - flows].push_back(std::move(datagram));
      }
    }
    for (std::size_t flow = 0; flow < kFlows; ++flow) RC_ASSERT(out[flow] == in[flow]);
    runs.clear();
  }
}

}  // namespace
}  // namespace lanyard
