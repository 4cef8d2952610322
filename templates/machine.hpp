#pragma once

// The verbs that the kernel templates are written in, spelled for the machine the compiler targets.
//
// A template never sees a lane. What a wave holds is one of these, all sized by M = Config::mfma:
//
//   RawStrip       M gathered cache rows as they came from memory, or those groups of 64 columns of
//                  them that a wave gathers
//   KeyFragment    M keys x 64 columns, bf16
//   QueryFragment  M heads x 64 columns, bf16
//   ScoreTile      M keys x M heads, fp32
//   WeightTile     M keys x M heads, bf16
//   OutputPanel    M heads x 4M columns, fp32
//   PerHead        a number for each of M heads
//
// and, for WaveSplit::weights, roles, scorers and rows, where a wave works on all heads of its
// workgroup at once:
//
//   StripScores    M keys x all heads, fp32
//   OwnScores      M keys x the heads it weighs, fp32
//   HeadColumns    all heads x the wave's columns, fp32
//   KeyFragment    may be narrower than bf16, and then a key 2^-lift of itself: see take_care()
//   AllHeads       a number for each head; OwnHeads for each that it weighs
//
// PerHead, AllHeads and OwnHeads are arrays of kCount numbers; arithmetic on them is written
// element by element, and a statistic gathered from a wave's own scores is partial until
// combine_max() or combine_sum() made it the same wherever the head is held.
//
// The host's spelling (machine_host.hpp) keeps each whole tile in plain arrays, and is the
// specification of the others. MLA_HAS_WEIGHTS: the machine spells the verbs of WaveSplit::weights,
// blocks, roles, scorers and rows; MLA_HAS_CLUSTERS: that of Config::cluster.

#if defined(__AMDGCN__) || defined(__HIP_DEVICE_COMPILE__)
#include "machine_gfx9_products.hpp"
#elif defined(__CUDACC__) || defined(__CUDACC_RTC__)
#include "machine_sm90_order.hpp"
#include "machine_sm90_rows.hpp"
#define MLA_HAS_WEIGHTS
#define MLA_HAS_CLUSTERS
#else
#include "machine_host_rows.hpp"
#define MLA_HAS_WEIGHTS
#endif
