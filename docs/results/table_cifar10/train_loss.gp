# gnuplot train_loss.gp makes train_loss.svg; with -e "format='png'", train_loss.png
if (!exists("format")) format = 'svg'
if (format eq 'svg') {
  set terminal svg noenhanced background 'white' size 1000,600
} else {
  if (strstrt(GPVAL_TERMINALS, 'pngcairo')) {
    set terminal pngcairo noenhanced size 1000,600
  } else {
    set terminal png noenhanced size 1000,600
  }
}
set output 'train_loss.'.format
set datafile separator ','
heading = "train_loss: mean, lowest and highest of all seeds"."\n"."Figure 2, top: All-CNN-C on CIFAR-10, five methods; CIFAR-10 (JPEG q75), cpu scale (5000 training images, 6"."\n"."epochs of batches of 32 with momentum's learning rate in proportion, no dropout, 3 seeds)"
set label 1 heading at screen 0.5, screen 0.97 center
set tmargin 5
set xlabel 'step'
set ylabel 'train_loss'
set key outside right
of(name, c) = strcol(2) eq name && strcol(1) eq 'train_loss' ? column(c) : NaN
set style fill transparent solid 0.2 noborder
plot 'curves.csv' using 3:(of("momentum", 5)):(of("momentum", 6)) every ::1 with filledcurves lc 1 notitle, 'curves.csv' using 3:(of("momentum", 4)) every ::1 with lines lw 2 lc 1 title "momentum", 'curves.csv' using 3:(of("S-HD", 5)):(of("S-HD", 6)) every ::1 with filledcurves lc 2 notitle, 'curves.csv' using 3:(of("S-HD", 4)) every ::1 with lines lw 2 lc 2 title "S-HD", 'curves.csv' using 3:(of("PP-HD", 5)):(of("PP-HD", 6)) every ::1 with filledcurves lc 3 notitle, 'curves.csv' using 3:(of("PP-HD", 4)) every ::1 with lines lw 2 lc 3 title "PP-HD", 'curves.csv' using 3:(of("FOP-norm", 5)):(of("FOP-norm", 6)) every ::1 with filledcurves lc 4 notitle, 'curves.csv' using 3:(of("FOP-norm", 4)) every ::1 with lines lw 2 lc 4 title "FOP-norm", 'curves.csv' using 3:(of("FOP", 5)):(of("FOP", 6)) every ::1 with filledcurves lc 5 notitle, 'curves.csv' using 3:(of("FOP", 4)) every ::1 with lines lw 2 lc 5 title "FOP", 'curves.csv' using 3:(of("momentum; FOP's step (ours)", 5)):(of("momentum; FOP's step (ours)", 6)) every ::1 with filledcurves lc 6 notitle, 'curves.csv' using 3:(of("momentum; FOP's step (ours)", 4)) every ::1 with lines lw 2 lc 6 title "momentum, FOP's step (ours)", 'curves.csv' using 3:(of("FOP on the momentum (ours)", 5)):(of("FOP on the momentum (ours)", 6)) every ::1 with filledcurves lc 7 notitle, 'curves.csv' using 3:(of("FOP on the momentum (ours)", 4)) every ::1 with lines lw 2 lc 7 title "FOP on the momentum (ours)"
