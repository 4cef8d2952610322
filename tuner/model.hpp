#pragma once

#include "db/records.hpp"
#include "kernels/device.hpp"
#include "tuner/arch.hpp"

namespace mla {

// The version of the formula below. Predictions of two versions are those of two devices.
// RAISE IT when a prediction changes.
constexpr int kModelVersion = 4;

// What one launch of a variant is expected to take. All in microseconds.
struct Prediction {
  double total_us = 0;   // decode, merge and the overhead of each kernel's launch
  double decode_us = 0;  // at least roofline_us
  double merge_us = 0;   // by the reduce kernel or the last workgroup; 0 with a single split
  double roofline_us =
      0;  // max(minimum bytes / bandwidth, flops / matrix rate): no kernel is faster
};

// Predicts without the GPU, from the arch file, the problem and what `decode`, the code object's
// resources, says. It ranks variants; as a time it has never been compared with one.
//
// Of the decode kernel one step is what a wave does with one tile of keys. In cycles of a SIMD:
//   matrix = 4 * 512 * keys * heads of the wave / (matrix_rate / simds)           QK and PV
//   valu   = VALU instructions * lanes / 16 (1 cycle where a SIMD is a wave wide, but 4 of a wave
//            by itself, whose instructions wait for each other): of a lane, the arch's
//            valu_per_element for each element dequantised and 8 for each score; on gfx9 1/2 for
//            each value read untransposed and each output in a tile that rescales
//   lds    = static LDS instructions / bodies * 8 bytes * lanes / 128             of the CU's LDS
//            and on gfx9 four times that where the layout is linear. Where the matrix unit takes
//            operands from LDS: what a tile moves into and out of it / 128 / waves, which is each
//            product's operands, the tile written, and rows on their way through; with
//            WaveSplit::rows, which writes none, rows thrice
//   memory = bytes gathered / this CU's share of the bandwidth, at most 64 bytes per cycle; with
//            GridOrder::heads nine tenths of what other head groups gather too are in the die's L2
// bodies is how often the tile loop's body stands in the code: static matrix instructions over
// those of one step. Where the compiler brings no disassembler, LDS instructions are estimated from
// Config as VALU ones always are: of those that stand in gfx9's code a step executes a fifth to two
// fifths (the others run once, or for NaN alone), of LDS instructions nine tenths. A wave by itself
// needs matrix + valu + lds + barriers, and waits for memory: the whole latency with prefetch 1,
// latency / (prefetch - 1) at least otherwise. Where operands come from LDS (the H200's records),
// waves without roles are at it together, so that one needs the lds of all; and who asks for rows
// without the copy engine needs 0.8 of memory's time besides. A CU with k workgroups of w waves
// needs at least ceil(k w / simds) * max(matrix, valu), k w lds, k w memory. The step is the
// largest, and a thousandth of what a wave needs by itself: of variants that wait for the same,
// dozens on gfx9, the one with the most slack shall win, and not the one whose key is smallest.
//
//   workgroup = 2 latencies + steps * step + merge + 1 latency
//   k         = workgroups a CU holds (registers, LDS, waves), at most what the grid gives it. Of
//               clusters one: 256 workgroups in clusters of four took an H200 1.4 times what they
//               took without, two a CU
//   makespan  = the longest workgroup, or ceil(grid / (k * CUs)) rounds of the average one; of
//               clusters those CUs count that find places in one domain
//   decode    = max(makespan, traffic / bandwidth, flops of whole tiles / matrix rate)
//               + 0.001 makespan
//   reduce    = max(rounds * (latency + rows per wave * splits * step), workspace / bandwidth)
//   last      = max(3 latencies + rows per wave * splits * step, workspace / bandwidth), where
//               Merge::last has the workgroup do it that comes last: two latencies are its arrival
// traffic is the problem's minimum, plus the workspace, plus a quarter of the rows that further
// head groups read again (the rest they find in a cache), with GridOrder::heads a tenth.
//
// As long as every workgroup has a CU to itself and memory keeps up, what one needs is what all
// need: a token more costs nothing then, and problems of few tokens have equal predictions.
//
// Where resources are unknown (-1, arch host) one workgroup is taken to fill a CU.
Prediction predict(const Arch& arch, const ProblemRecord& problem, const Launch& launch,
                   const Resources& decode);

// Its parts: the decode kernel, the reduce kernel (0 for one split), or what config has instead,
// and the launches.
double predict_decode_us(const Arch& arch, const ProblemRecord& problem, const Config& config,
                         const Splits& splits, const Resources& decode);
double predict_reduce_us(const Arch& arch, const ProblemRecord& problem, const ReduceConfig& reduce,
                         int splits);
double predict_last_us(const Arch& arch, const ProblemRecord& problem, const Config& config,
                       int splits);
double predict_merge_us(const Arch& arch, const ProblemRecord& problem, const Config& config,
                        const ReduceConfig& reduce, int splits);
double launches_us(const Arch& arch, const Config& config, int splits);

// The lower bound of any kernel's time, in microseconds.
double roofline_us(const Arch& arch, const ProblemRecord& problem);

// Workgroups of this variant's decode kernel that a CU holds at once; at least 1.
int workgroups_per_cu(const Arch& arch, const Config& config, const Resources& decode);

// The device that predictions for an arch are stored under.
Device model_device(const Arch& arch);

}  // namespace mla
