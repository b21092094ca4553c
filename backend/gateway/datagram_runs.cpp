// SPDX-License-Identifier: MIT
#include "backend/gateway/datagram_runs.h"

#include <algorithm>

namespace lanyard {

void DatagramRuns::add(UdpFlow& flow, std::span<const std::uint8_t> payload, std::size_t step,
                       Way way) {
  if (step == 0 || payload.size() <= step) {
    if (!continue_run(flow, payload, way)) begin_run(flow, payload, way);
    return;
  }
  const std::size_t segments_max = step > flow.run_segment_max ? 1 : kSegmentsMax;
  const std::size_t most = step * std::clamp<std::size_t>(kBytesMax / step, 1, segments_max);
  while (!payload.empty()) {
    const auto piece = payload.first(std::min(most, payload.size()));
    Run& run = begin_run(flow, piece, way);
    run.segment_size = step;
    run.count = (piece.size() + step - 1) / step;
    run.open = piece.size() % step == 0;
    payload = payload.subspan(piece.size());
  }
}

bool DatagramRuns::continue_run(UdpFlow& flow, std::span<const std::uint8_t> payload, Way way) {
  if (flow.round != round_ || payload.empty()) return false;
  Run& run = runs_[flow.run];
  if (!run.open || payload.size() > run.segment_size || run.segment_size > flow.run_segment_max ||
      run.count == kSegmentsMax || run.bytes + payload.size() > kBytesMax ||
      run.hop_limit != way.hop_limit || run.unfragmented != way.unfragmented) {
    return false;
  }
  pieces_[run.last].next = pieces_.size();
  run.last = pieces_.size();
  pieces_.push_back({payload});
  ++run.count;
  ++run.pieces;
  run.bytes += payload.size();
  run.open = payload.size() == run.segment_size;
  return true;
}

DatagramRuns::Run& DatagramRuns::begin_run(UdpFlow& flow, std::span<const std::uint8_t> payload,
                                           Way way) {
  flow.round = round_;
  flow.run = runs_.size();
  Run& run = runs_.emplace_back();
  run.flow = &flow;
  run.segment_size = payload.size();
  run.count = 1;
  run.bytes = payload.size();
  run.hop_limit = way.hop_limit;
  run.unfragmented = way.unfragmented;
  run.pieces = 1;
  run.first = run.last = pieces_.size();
  pieces_.push_back({payload});
  return run;
}

void DatagramRuns::append_parts(const Run& run, std::vector<iovec>& into) const {
  for (std::size_t at = run.first;; at = pieces_[at].next) {
    const auto bytes = pieces_[at].bytes;
    // Only read: the type of iovec serves both directions.
    into.push_back({const_cast<std::uint8_t*>(bytes.data()), bytes.size()});
    if (at == run.last) return;
  }
}

void DatagramRuns::clear() {
  runs_.clear();
  pieces_.clear();
  ++round_;
}

}  // namespace lanyard
