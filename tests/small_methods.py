"""Every method of conf/, and settings that make each of them small."""

from helpers import ROOT

METHODS = sorted(p.stem for p in (ROOT / "conf" / "method").glob("*.yaml"))
SMALL = {"crdi": ["method.draws=1", "method.num_steps=6", "method.t_start=1", "method.t_end=4"]}
SMALL["crdi"] += ["method.segments=3", "method.card.reconstruct_sweep=null"]
SMALL["crdi_official"] = [*SMALL["crdi"], "method.epochs=4", "method.segments=2"]
SMALL["source"] = ["method.num_steps=2"]
SMALL["domainstudio"] = ["method.iterations=2", "method.groups=1", "method.sample.num_steps=2"]
SMALL["finetune"] = SMALL["domainstudio"]
SMALL["finetune_lora"] = SMALL["finetune_bias_norm"] = SMALL["domainstudio"]
SMALL["patch_score"] = ["method.num_steps=2", "method.reach=0"]
SMALL["guided"] = ["method.num_steps=2", "method.group=2"]
SMALL["rs_imle"] = ["method.architecture.blocks='1x1,4m1,8m4,16m8,32m16,64m32'"]
SMALL["rs_imle"] += ["method.architecture.width=16", "method.architecture.latent_dim=8"]
SMALL["rs_imle"] += ["method.max_iterations=3", "method.refresh_every=2", "method.pool_round_to=8"]
SMALL["imle"] = SMALL["adaimle"] = SMALL["rs_imle"]
SMALL["gan_inversion"] = ["method.projector.steps=2", "method.space_count=500"]
SMALL["genda"] = ["method.updates=2", "method.batch=2"]
SMALL["gan_adapt"] = ["method.objective.iterations=2", "method.length=1.0"]
SMALL["gan_adapt"] += ["method.batch=2", "method.regularisation.path_every=2"]
SMALL["gan_adapt"] += ["method.objective.fisher_images=2", "method.objective.relation_batch=2"]
SMALL |= {name: SMALL["gan_adapt"] for name in ("tgan", "ada", "freezed", "ewc", "cdc", "dcl")}
SMALL["d2c"] = ["method.num_steps=2", "method.unlabelled_count=20", "method.held_out_count=20"]
SMALL["d2c"] += ["method.sample.budget=2"]
SMALL["d2c_edit"] = SMALL["d2c_prior"] = SMALL["d2c"]
