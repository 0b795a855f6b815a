"""The factor reader is as good as its manifest says."""


def test_the_reader_is_as_good_as_its_manifest_says():
    from fsig_bench.faceworld.reader import FactorReader
    from fsig_bench.faceworld.train_reader import held_out_quality

    reader = FactorReader(weights="baselines/weights/mini/reader.safetensors", trunk_maps=4)
    quality = held_out_quality(reader, 100)
    assert quality["domain_accuracy"] >= 0.98
    r2 = sorted(quality["r2"].values())
    assert r2[len(r2) // 2] > 0.95 and r2[0] > 0.75
